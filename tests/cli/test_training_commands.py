"""hpo grid, search and resume, as a user types them."""

import json
from pathlib import Path

import pytest

from hpo.data import open_data, seal
from hpo.training.stack import StackedStack
from tests.conftest import SMALL, Hpo

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "2", *SMALL)
SEARCH = (
    *("search", "--param", "learning_rate", "--param", "dropout", *SMALL),
    *("--finalists", "0"),
)


def test_a_grid_ends_in_a_table_a_page_and_json_and_trains_nothing_twice(
    hpo: Hpo, xrays: Path
) -> None:
    answer = hpo(*GRID, "--data", xrays, "--json")
    assert answer.code == 0
    first = answer.json
    assert (first["kind"], first["n_trained"]) == ("grid", 4)
    assert first["score"] == {"name": "accuracy", "direction": "maximize", "margin": 0.01}
    assert (first["data"]["n_train"], first["data"]["is_phantom"]) == (64, False)
    assert [c["params"] for c in first["configurations"]] == [
        {"batch_size": 8},
        {"batch_size": 16},
    ]
    one = first["configurations"][0]
    assert [(r["seed"], r["fold"], r["state"]) for r in one["repeats"]] == [
        (0, 0, "complete"),
        (1, 1, "complete"),
    ]
    assert one["low"] <= one["score"] <= one["high"]
    assert set(one["repeats"][0]["metrics"]) == {"train", "validation", "last_weights"}
    assert first["best"]["params"] in ({"batch_size": 8}, {"batch_size": 16})
    assert Path(first["report"]).read_text().startswith("<!DOCTYPE html>")
    progress = [line for line in answer.err.splitlines() if line.startswith("[")]
    assert len(progress) == 4
    assert progress[-1].startswith("[4/4] batch_size 16, repeat 2: ")

    for run in (json.loads(path.read_text()) for path in Path("studies/runs").glob("*.json")):
        images = open_data(xrays)
        data = seal(images)
        validated = data.fold(run["key"]["fold"]).validation
        assert run["validation_images"] == validated.tolist()
        assert run["validation_labels"] == data.labels[validated].tolist()
        assert run["validation_patients"] == images.patients[validated].tolist()

    shown = hpo(*GRID, "--data", xrays)
    assert "Nothing to train: all results are already available." in shown.out
    (baselines,) = (line for line in shown.out.splitlines() if "logistic regression" in line)
    assert baselines.startswith("Baselines: majority class ")
    more = hpo(*GRID, "--repeats", "3", "--data", xrays, "--json", "--quiet")
    assert (more.json["study"], more.json["n_trained"], more.err) == (first["study"], 2, "")
    for path in Path("studies").glob("hpo.db*"):
        path.unlink()
    again = hpo(*GRID, "--data", xrays, "--json").json
    assert (again["n_trained"], again["n_reused"]) == (0, 4)
    scores = [[c["score"] for c in d["configurations"]] for d in (first, again)]
    assert scores[0] == scores[1]


def test_every_output_of_a_run_says_what_is_assumed_of_the_data(hpo: Hpo, xrays: Path) -> None:
    unknown = "Patients unknown: each image counts as its own patient; images of one patient may"
    command = (*GRID, "--data", xrays)
    assert unknown in hpo(*command, "--dry-run").out
    assert hpo(*command, "--dry-run", "--json").json["data"]["notes"][0].startswith(unknown)
    assert not Path("studies").exists()
    answer = hpo(*command)
    assert unknown in answer.out
    assert unknown in answer.err
    (study,) = hpo("show", "--json").json["studies"]
    assert study["data"]["notes"][0].startswith(unknown)
    assert unknown in hpo("show", study["study"]).out
    assert unknown in hpo("resume", study["study"]).out
    assert unknown in Path("studies", study["study"], "report.html").read_text()
    assert unknown in hpo("data", "info", "--data", xrays).out


def test_without_data_every_output_says_that_the_images_are_synthetic(hpo: Hpo) -> None:
    grid = ("grid", "--param", "batch_norm", "--values", "true,false", "--repeats", "1", *SMALL)
    first, again = hpo(*grid), hpo(*grid)
    study = hpo("show", "--json").json["studies"][0]
    assert study["data"]["is_phantom"]
    page = Path("studies", study["study"], "report.html").read_text()
    for text in (first.out, again.out, hpo("show").out, page):
        assert "synthetic" in text
    # A value is written as it is typed.
    assert "batch_norm true, repeat 1" in first.err
    assert "True" not in first.out + first.err


def test_a_search_continues_with_more_trials(hpo: Hpo, xrays: Path) -> None:
    search = (*SEARCH, "--data", xrays, "--json")
    first = hpo(*search, "--trials", "2").json
    more = hpo(*search, "--trials", "4").json
    assert (first["n_trained"], more["n_trained"]) == (2, 2)
    assert more["study"] == first["study"]
    shown = {str(c["params"]) for c in more["configurations"]}
    assert len(shown) == 4
    assert {str(c["params"]) for c in first["configurations"]} < shown


def test_a_dry_run_counts_what_is_missing(hpo: Hpo, xrays: Path) -> None:
    dry = hpo(*GRID, "--data", xrays, "--dry-run", "--json").json
    assert dry["n_to_train"] == 4
    assert min(dry["seconds"], dry["memory_bytes"]) > 0
    assert "4 to train" in hpo(*SEARCH, "--trials", "4", "--data", xrays, "--dry-run").out
    hpo(*GRID, "--data", xrays)
    after = hpo(*GRID, "--repeats", "3", "--data", xrays, "--dry-run", "--json").json
    assert (after["n_done"], after["n_to_train"]) == (4, 2)
    other = hpo(*GRID, "--study", "other", "--data", xrays, "--dry-run", "--json").json
    assert (other["n_stored"], other["n_to_train"]) == (4, 0)


def test_a_search_out_of_time_says_how_to_continue(hpo: Hpo, xrays: Path) -> None:
    url = "sqlite:///other/my studies.db"
    search = (*SEARCH, "--data", xrays, "--storage", url, "--trials", "4")
    answer = hpo(*search, "--timeout", "0.000001")
    assert answer.code == 1
    missing = "4 trainings missing. To continue: `hpo resume search-"
    assert missing in answer.out
    assert f"--storage '{url}'`" in answer.out
    assert "missing" not in answer.err
    assert missing in hpo(*search, "--timeout", "0.000001", "--json").err
    assert " of 4 " in hpo("show", "--storage", url).out


def test_a_search_that_has_tried_all_there_is_is_finished(hpo: Hpo, xrays: Path) -> None:
    search = ("search", "--param", "normalize", *SMALL, "--data", xrays, "--finalists", "0")
    answer = hpo(*search, "--trials", "50", "--study", "s")
    assert "All 2 configurations of the space were tried" in answer.err
    assert " of 50" not in hpo("show").out
    assert "hpo resume s" not in Path("studies/s/report.html").read_text()
    search = ("search", "--param", "activation", "--param", "normalize", "--trials", "7", *SMALL)
    answer = hpo(*search, "--sampler", "random", "--finalists", "0", "--data", xrays, "--json")
    assert len(answer.json["configurations"]) < 7
    assert "of the space were tried" not in answer.err


def test_combinations_are_trained_once_where_they_are_equal(hpo: Hpo, xrays: Path) -> None:
    two = ("grid", "--param", "batch_size", "--param", "loss", "--values", "loss=bce,ce")
    options = ("--values", "batch_size=8,16", "--repeats", "1", *SMALL, "--data", xrays, "--json")
    assert hpo(*two[:3], *two[5:], *options).code == 2
    params = [tuple(c["params"].values()) for c in hpo(*two, *options).json["configurations"]]
    assert params == [(8, "bce"), (8, "ce"), (16, "bce"), (16, "ce")]

    grid = ("grid", "--param", "scheduler", "--param", "step_size", "--repeats", "1", *SMALL)
    note = "9 combinations, 5 different: where step_size has no effect, they are one training."
    assert note in hpo(*grid, "--data", xrays, "--dry-run").out
    answer = hpo(*grid, "--data", xrays)
    assert "Trained 5, " in answer.out
    assert answer.out.count(note) == 1


def test_an_interrupted_grid_ends_with_130_and_names_the_command_that_continues(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, steps = StackedStack.step, []

    def interrupted(stack: StackedStack) -> object:
        steps.append(None)
        if len(steps) == 7:
            raise KeyboardInterrupt
        return train(stack)

    with monkeypatch.context() as patch:
        patch.setattr(StackedStack, "step", interrupted)
        answer = hpo(*GRID, "--data", xrays, "--study", "mine", "--precision", "fp32")
    assert answer.code == 130
    stopped = "Stopped. Finished trainings are saved. To continue: hpo resume mine"
    assert stopped in answer.err.splitlines()
    assert "Traceback" not in answer.err
    too_few = "8 vs 16: too few repeats are trained so far. Run `hpo resume mine`."
    assert too_few in hpo("show", "mine").out
    resumed = hpo("resume", "mine", "--json")
    assert (resumed.code, resumed.json["n_trained"]) == (0, 1)
    assert [c["state"] for c in resumed.json["configurations"]] == ["complete", "complete"]
    assert "too few repeats" not in hpo("show", "mine").out


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
    assert "The same command tries again" in answer.err
    assert hpo(*diverging).json["n_trained"] == 1


def test_batches_larger_than_the_images_are_refused_or_fail_alone(hpo: Hpo, xrays: Path) -> None:
    swept = ("grid", "--param", "batch_size", "--values", "8,500", *SMALL, "--data", xrays)
    for dry in ((), ("--dry-run",)):
        answer = hpo(*swept, *dry)
        assert answer.code == 2
        assert "Leave 500 out: --values batch_size=8" in answer.err
    fixed = ("grid", "--param", "loss", "--set", "batch_size=500", "--data", xrays)
    assert "Use --set batch_size=N with 64 at most" in hpo(*fixed).err
    assert not Path("studies").exists()
    Path("space.toml").write_text(
        "[base]\nbatch_size = 500\n[search]\nbatch_size = { choices = [8, 16, 500] }\n"
    )
    search = ("search", "--space", "space.toml", *SMALL, "--metric", "accuracy", "--data", xrays)
    search += ("--finalists", "0", "--study", "s")
    dry_run = hpo(*search, "--dry-run").out
    assert "batch_size 500 will fail: there are 64 training images" in dry_run
    assert "Leave 500 out of the choices" in dry_run
    answer = hpo(*search)
    assert answer.code == 0
    assert "Trained 2, in" in answer.out
    assert "1 training failed" in answer.out
    configurations = hpo("show", "s", "--json").json["configurations"]
    states = {c["params"]["batch_size"]: c["state"] for c in configurations}
    assert states == {8: "complete", 16: "complete", 500: "failed"}
    (failed,) = next(c for c in configurations if c["state"] == "failed")["repeats"]
    assert failed["reason"].startswith("batch_size 500 is more than the 64 training images")


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


def test_a_grid_gets_repeats_until_every_pair_is_decided(hpo: Hpo, xrays: Path) -> None:
    command = (*GRID, "--data", xrays, "--until-decided", "--max-repeats", "7")
    forecast = hpo(*command, "--dry-run")
    assert "depends on how many repeats decide every pair: 5 to 7." in forecast.out
    answer = hpo(*command, "--json")
    (pair,) = answer.json["verdict"]["pairs"]
    n = len(answer.json["configurations"][0]["repeats"])
    assert answer.code == 0
    assert n in (5, 7)
    assert (pair["answer"] != "undecided") or n == 7
    assert ("going on to 7 repeats." in answer.err) == (n == 7)
    assert (
        "up to 2 times, so each interval is a 97.1 % interval: all of them together hold 95 %."
        in answer.json["verdict"]["basis"]
    )
    assert "97.1 % interval" in pair["sentence"]
    again = hpo("resume", answer.json["study"], "--json").json
    assert (again["n_trained"], len(again["configurations"][0]["repeats"])) == (0, n)


def test_a_limit_of_repeats_alone_is_refused(hpo: Hpo, xrays: Path) -> None:
    answer = hpo(*GRID, "--data", xrays, "--max-repeats", "7")
    assert answer.code == 2
    assert "--until-decided" in answer.err
