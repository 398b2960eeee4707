"""hpo grid, search and resume, as a user types them."""

from pathlib import Path

import pytest

from hpo.training.stack import StackedStack
from tests.conftest import SMALL, Hpo

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "2", *SMALL)
SEARCH = (
    *("search", "--param", "learning_rate", "--param", "dropout", *SMALL),
    *("--finalists", "0"),
)


def test_a_grid_ends_in_a_table_a_page_and_json(hpo: Hpo, xrays: Path) -> None:
    answer = hpo(*GRID, "--data", xrays, "--json")
    assert answer.code == 0
    document = answer.json
    assert document["kind"] == "grid"
    assert document["n_trained"] == 4
    assert document["score"] == {"name": "accuracy", "direction": "maximize"}
    assert document["data"]["n_train"] == 64
    assert not document["data"]["is_phantom"]
    assert [c["params"] for c in document["configurations"]] == [
        {"batch_size": 8},
        {"batch_size": 16},
    ]
    first = document["configurations"][0]
    assert [(r["seed"], r["fold"], r["state"]) for r in first["repeats"]] == [
        (0, 0, "complete"),
        (1, 1, "complete"),
    ]
    assert first["low"] <= first["score"] <= first["high"]
    assert set(first["repeats"][0]["metrics"]) == {"train", "validation"}
    assert document["best"]["params"] in ({"batch_size": 8}, {"batch_size": 16})
    assert Path(document["report"]).read_text().startswith("<!DOCTYPE html>")
    assert "test" not in first["repeats"][0]["metrics"]

    table = hpo(*GRID, "--data", xrays)
    assert "majority class" in table.out
    assert "logistic regression" in table.out
    assert "Nothing to train" in table.out


def test_every_output_of_a_run_says_what_is_assumed_of_the_data(hpo: Hpo, xrays: Path) -> None:
    unknown = "Patients unknown: each image counts as its own patient; images of one patient may"
    command = (*GRID, "--data", xrays)
    assert unknown in hpo(*command, "--dry-run").out
    assert hpo(*command, "--dry-run", "--json").json["data"]["notes"][0].startswith(unknown)

    answer = hpo(*command)
    assert unknown in answer.out
    assert unknown in answer.err
    (study,) = hpo("show", "--json").json["studies"]
    assert study["data"]["notes"][0].startswith(unknown)
    assert unknown in hpo("show", study["study"]).out
    assert unknown in hpo("resume", study["study"]).out
    assert unknown in Path("studies", study["study"], "report.html").read_text()
    assert unknown in hpo("data", "info", "--data", xrays).out


def test_the_same_grid_again_trains_nothing_and_prints_the_same(hpo: Hpo, xrays: Path) -> None:
    first = hpo(*GRID, "--data", xrays, "--json").json
    again = hpo(*GRID, "--data", xrays, "--json").json
    assert (again["n_trained"], again["n_reused"]) == (0, 0)
    assert again["configurations"] == first["configurations"]
    assert again["study"] == first["study"]


def test_more_repeats_train_what_is_missing(hpo: Hpo, xrays: Path) -> None:
    hpo(*GRID, "--data", xrays)
    more = hpo(*GRID, "--repeats", "3", "--data", xrays, "--json").json
    assert more["n_trained"] == 2
    assert [len(c["repeats"]) for c in more["configurations"]] == [3, 3]


def test_a_deleted_database_costs_no_training(hpo: Hpo, xrays: Path) -> None:
    first = hpo(*GRID, "--data", xrays, "--json").json
    for path in Path("studies").glob("hpo.db*"):
        path.unlink()
    again = hpo(*GRID, "--data", xrays, "--json").json
    assert (again["n_trained"], again["n_reused"]) == (0, 4)
    assert [c["score"] for c in again["configurations"]] == [
        c["score"] for c in first["configurations"]
    ]


def test_without_data_every_output_says_that_the_images_are_synthetic(hpo: Hpo) -> None:
    answer = hpo(*GRID, "--json")
    assert answer.json["data"]["is_phantom"]
    assert "synthetic" in hpo(*GRID).out
    assert "synthetic" in hpo("show").out
    assert "synthetic" in Path(answer.json["report"]).read_text()


def test_a_search_goes_on_with_more_trials(hpo: Hpo, xrays: Path) -> None:
    first = hpo(*SEARCH, "--trials", "3", "--data", xrays, "--json").json
    assert first["n_trained"] == 3
    again = hpo(*SEARCH, "--trials", "3", "--data", xrays, "--json").json
    assert again["n_trained"] == 0
    more = hpo(*SEARCH, "--trials", "5", "--data", xrays, "--json").json
    assert more["n_trained"] == 2
    assert more["study"] == first["study"]
    shown = {str(c["params"]) for c in more["configurations"]}
    assert len(shown) == 5
    assert {str(c["params"]) for c in first["configurations"]} < shown


def test_an_unfinished_search_is_listed_against_its_goal(hpo: Hpo, xrays: Path) -> None:
    hpo(*SEARCH, "--trials", "7", "--timeout", "0.001", "--data", xrays)
    assert " of 7 " in hpo("show").out


def test_several_parameters_run_every_combination(hpo: Hpo, xrays: Path) -> None:
    answer = hpo(
        *GRID[:5],
        *("--param", "loss", "--values", "loss=bce,ce", "--values", "batch_size=8,16"),
        *("--repeats", "1", *SMALL, "--data", xrays, "--json"),
    )
    assert answer.code == 2
    answer = hpo(
        *("grid", "--param", "batch_size", "--param", "loss"),
        *("--values", "loss=bce,ce", "--values", "batch_size=8,16"),
        *("--repeats", "1", *SMALL, "--data", xrays, "--json"),
    )
    params = [tuple(c["params"].values()) for c in answer.json["configurations"]]
    assert params == [(8, "bce"), (8, "ce"), (16, "bce"), (16, "ce")]


def test_a_dry_run_trains_and_creates_nothing(hpo: Hpo, xrays: Path) -> None:
    answer = hpo(*GRID, "--data", xrays, "--dry-run", "--json")
    assert answer.code == 0
    assert answer.json["n_to_train"] == 4
    assert answer.json["seconds"] > 0
    assert answer.json["memory_bytes"] > 0
    assert not Path("studies").exists()
    hpo(*GRID, "--data", xrays)
    after = hpo(*GRID, "--repeats", "3", "--data", xrays, "--dry-run", "--json").json
    assert (after["n_done"], after["n_to_train"]) == (4, 2)
    other = hpo(*GRID, "--study", "other", "--data", xrays, "--dry-run", "--json").json
    assert (other["n_stored"], other["n_to_train"]) == (4, 0)


def test_a_dry_run_of_a_search_counts_its_trials(hpo: Hpo, xrays: Path) -> None:
    answer = hpo(*SEARCH, "--trials", "4", "--data", xrays, "--dry-run")
    assert answer.code == 0
    assert "4 to train" in answer.out


def test_a_dry_run_counts_the_further_repeats_of_a_search(hpo: Hpo, xrays: Path) -> None:
    search = ("search", *SMALL, "--data", xrays, "--param", "learning_rate", "--pruner", "none")
    search = (*search, "--finalists", "0")
    hpo(*search, "--trials", "2")
    found = hpo(*search, "--trials", "3", "--repeats", "2", "--dry-run", "--json").json
    assert (found["n_done"], found["n_to_train"], found["n_trainings"]) == (2, 4, 6)


def test_a_search_out_of_time_says_how_it_goes_on(hpo: Hpo, xrays: Path) -> None:
    url = "sqlite:///other/my studies.db"
    search = ("search", *SMALL, "--data", xrays, "--storage", url, "--trials", "4")
    search = (*search, "--finalists", "0")
    answer = hpo(*search, "--timeout", "0.000001")
    assert answer.code == 1
    assert "4 trainings missing. To continue: `hpo resume search-" in answer.out
    assert f"--storage '{url}'`" in answer.out
    assert "missing" not in answer.err
    answer = hpo(*search, "--timeout", "0.000001", "--json")
    assert "4 trainings missing. To continue: `hpo resume search-" in answer.err
    assert f"--storage '{url}'`" in answer.err


def test_a_search_that_has_tried_all_there_is_is_finished(hpo: Hpo, xrays: Path) -> None:
    search = ("search", "--param", "normalize", *SMALL, "--data", xrays, "--finalists", "0")
    answer = hpo(*search, "--trials", "50", "--study", "s")
    assert "All 2 configurations of the space were tried" in answer.err
    assert " of 50" not in hpo("show").out
    page = Path("studies/s/report.html").read_text()
    assert "hpo show s" in page
    assert "hpo resume s" not in page


def test_a_search_that_tries_a_configuration_twice_does_not_say_it_is_all(
    hpo: Hpo, xrays: Path
) -> None:
    search = ("search", "--param", "activation", "--param", "normalize", "--trials", "7", *SMALL)
    answer = hpo(*search, "--sampler", "random", "--finalists", "0", "--data", xrays, "--json")
    assert len(answer.json["configurations"]) < 7
    assert "of the space were tried" not in answer.err


def test_combinations_that_are_one_training_are_told_and_trained_once(
    hpo: Hpo, xrays: Path
) -> None:
    grid = ("grid", "--param", "scheduler", "--param", "step_size", "--repeats", "1", *SMALL)
    note = "9 combinations, 5 different: where step_size has no effect, they are one training."
    dry = hpo(*grid, "--data", xrays, "--dry-run")
    assert "5 to train" in dry.out
    assert note in dry.out
    answer = hpo(*grid, "--data", xrays)
    assert "Trained 5, " in answer.out
    assert answer.out.count(note) == 1


def test_a_value_is_told_as_it_is_typed_wherever_it_is_told(hpo: Hpo, xrays: Path) -> None:
    grid = ("grid", "--param", "batch_norm", "--values", "true,false", "--repeats", "2", *SMALL)
    answer = hpo(*grid, "--data", xrays)
    assert "batch_norm true, repeat 1" in answer.err
    assert "true" in answer.out
    assert "True" not in answer.out + answer.err


def test_an_interrupted_grid_ends_with_130_and_names_the_command_that_goes_on(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, step=3)
        answer = hpo(*GRID, "--data", xrays, "--study", "mine")
    assert answer.code == 130
    stopped = "Stopped. Finished trainings are saved. To continue: hpo resume mine"
    assert stopped in answer.err.splitlines()
    assert "Traceback" not in answer.err
    resumed = hpo("resume", "mine", "--json")
    assert resumed.code == 0
    assert resumed.json["n_trained"] == 3
    whole = hpo(*GRID, "--data", xrays, "--study", "mine", "--json").json
    assert [c["state"] for c in whole["configurations"]] == ["complete", "complete"]


def test_a_failed_cell_ends_with_1_and_runs_again(hpo: Hpo, xrays: Path) -> None:
    diverging = (
        *("grid", "--param", "learning_rate", "--values", "0.001,10", "--repeats", "1"),
        *("--set", "optimizer=sgd", "--set", "normalize=none", "--set", "batch_norm=false"),
        *("--set", "image_size=16", "--set", "hidden=64-64-64", "--epochs", "3"),
        *("--data", xrays, "--json"),
    )
    answer = hpo(*diverging)
    assert answer.code == 1
    assert [c["state"] for c in answer.json["configurations"]] == ["complete", "failed"]
    assert answer.json["configurations"][1]["repeats"][0]["reason"].startswith("its loss was not")
    assert "the same command tries" in answer.err.lower()
    assert hpo(*diverging).json["n_trained"] == 1


def test_resume_uses_the_recorded_data_and_device(hpo: Hpo, xrays: Path) -> None:
    hpo(*GRID, "--data", xrays, "--study", "mine", "--precision", "fp32")
    answer = hpo("resume", "mine", "--json")
    assert answer.json["n_trained"] == 0
    assert not answer.json["data"]["is_phantom"]


def test_progress_is_plain_lines_on_standard_error(hpo: Hpo, xrays: Path) -> None:
    answer = hpo(*GRID, "--data", xrays, "--json")
    lines = [line for line in answer.err.splitlines() if line.startswith("[")]
    assert len(lines) == 4
    assert lines[-1].startswith("[4/4] batch_size 16, repeat 2: ")
    assert hpo(*GRID, "--repeats", "3", "--data", xrays, "--quiet").err == ""


def interrupt_at(patch: pytest.MonkeyPatch, *, step: int) -> None:
    """Let the engine be interrupted as Ctrl-C does, at its step of this number."""
    train, steps = StackedStack.step, []

    def interrupted(stack: StackedStack) -> object:
        steps.append(None)
        if len(steps) == step:
            raise KeyboardInterrupt
        return train(stack)

    patch.setattr(StackedStack, "step", interrupted)


def test_a_batch_larger_than_the_images_fails_as_one_trial_and_the_dry_run_says_so(
    hpo: Hpo, xrays: Path
) -> None:
    Path("space.toml").write_text(
        "[base]\nbatch_size = 500\n[search]\nbatch_size = { choices = [8, 16, 500] }\n"
    )
    search = ("search", "--space", "space.toml", *SMALL, "--metric", "accuracy", "--data", xrays)
    search += ("--finalists", "0", "--study", "s")
    dry = hpo(*search, "--dry-run")
    assert dry.code == 0
    assert "batch_size 500 will fail: there are 64 training images" in dry.out
    assert "Leave 500 out of the choices" in dry.out
    answer = hpo(*search)
    assert answer.code == 0
    assert "Trained 2, in" in answer.out
    assert "1 training failed" in answer.out
    states = {
        c["params"]["batch_size"]: c for c in hpo("show", "s", "--json").json["configurations"]
    }
    assert [states[n]["state"] for n in (8, 16, 500)] == ["complete", "complete", "failed"]
    (failed,) = states[500]["repeats"]
    assert failed["reason"].startswith("batch_size 500 is more than the 64 training images")


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_sweep_of_too_large_batches_says_which_to_leave_out(
    hpo: Hpo, xrays: Path, dry: tuple[str, ...]
) -> None:
    swept = ("grid", "--param", "batch_size", "--values", "8,500", *SMALL, "--data", xrays, *dry)
    answer = hpo(*swept)
    assert answer.code == 2
    assert "Leave 500 out: --values batch_size=8" in answer.err
    fixed = ("grid", "--param", "loss", "--set", "batch_size=500", "--data", xrays, *dry)
    assert "Use --set batch_size=N with 64 at most" in hpo(*fixed).err


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "auroc", "stress_accuracy"])
def test_the_interval_of_equal_scores_has_the_width_of_its_images(
    hpo: Hpo, xrays: Path, metric: str
) -> None:
    stuck = ("--set", "learning_rate=0.000001", "--epochs", "1", "--metric", metric)
    document = hpo(*GRID, "--data", xrays, *stuck, "--json").json
    for configuration in document["configurations"]:
        low, mean, high = (configuration[key] for key in ("low", "score", "high"))
        assert 0 <= low <= mean <= high <= 1
        assert high - low > 0.04


def test_pairs_of_an_interrupted_grid_name_the_command_that_trains_them(
    hpo: Hpo, xrays: Path
) -> None:
    grid = (*GRID, "--study", "s", "--data", xrays)
    hpo(*grid, "--repeats", "1")
    hpo(*grid, "--repeats", "2", "--timeout", "0.000001")
    shown = hpo("show", "s").out
    assert "8 vs 16: too few repeats are trained so far. Run `hpo resume s`." in shown
    assert hpo("resume", "s").code == 0
    assert "too few repeats" not in hpo("show", "s").out
