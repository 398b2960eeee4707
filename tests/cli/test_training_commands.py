"""hpo grid, search and resume, as a user types them."""

import json
from pathlib import Path

import pytest

from hpo.data import open_data, seal
from hpo.training.stack import StackedStack
from tests.cli.conftest import DIVERGING, GRID, OUT_OF_TIME, said
from tests.conftest import SMALL, Hpo

SEARCH = (
    *("search", "--param", "learning_rate", "--param", "dropout", "--finalists", "0"),
    *SMALL,
)


def test_a_grid_ends_in_a_table_a_page_and_json_and_trains_nothing_twice(
    hpo: Hpo, xrays: Path
) -> None:
    command = (*GRID, "--data", xrays, "--json")
    dry = hpo(*command, "--dry-run").json
    assert (dry["n_to_train"], min(dry["seconds"], dry["memory_bytes"]) > 0) == (4, True)
    answer = hpo(*command)
    assert answer.code == 0
    first = answer.json
    assert (first["kind"], first["n_trained"]) == ("grid", 4)
    assert first["score"] == {"name": "accuracy", "direction": "maximize", "margin": 0.01}
    assert (first["data"]["n_train"], first["data"]["is_phantom"]) == (64, False)
    params = [c["params"] for c in first["configurations"]]
    assert params == [{"batch_size": 8}, {"batch_size": 16}]
    one = first["configurations"][0]
    repeats = [(r["seed"], r["fold"], r["state"]) for r in one["repeats"]]
    assert repeats == [(0, 0, "complete"), (1, 1, "complete")]
    assert one["low"] <= one["score"] <= one["high"]
    assert set(one["repeats"][0]["metrics"]) == {"train", "validation", "last_weights"}
    assert first["best"]["params"] in params
    assert Path(first["report"]).read_text().startswith("<!DOCTYPE html>")
    progress = [line for line in answer.err.splitlines() if line.startswith("[")]
    assert len(progress) == 4
    assert progress[-1].startswith("[4/4] batch_size 16, repeat 2: ")

    images = open_data(xrays)
    data = seal(images)
    for run in (json.loads(path.read_text()) for path in Path("studies/runs").glob("*.json")):
        validated = data.fold(run["key"]["fold"]).validation
        assert run["validation_images"] == validated.tolist()
        assert run["validation_labels"] == data.labels[validated].tolist()
        assert run["validation_patients"] == images.patients[validated].tolist()

    shown = hpo(*command[:-1]).out
    assert "Nothing to train: all results are already available." in shown
    assert "\nBaselines: majority class 50.0\N{NO-BREAK SPACE}%, logistic regression " in shown
    dry = hpo(*command, "--repeats", "3", "--dry-run").json
    assert (dry["n_done"], dry["n_to_train"]) == (4, 2)
    dry = hpo(*command, "--study", "other", "--dry-run").json
    assert (dry["n_stored"], dry["n_to_train"]) == (4, 0)
    more = hpo(*command, "--repeats", "3", "--quiet")
    assert (more.json["study"], more.json["n_trained"], more.err) == (first["study"], 2, "")
    for path in Path("studies").glob("hpo.db*"):
        path.unlink()
    again = hpo(*command).json
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
    first = hpo(*grid, "--study", "s")
    evaluated = hpo("evaluate", "s").out
    assert "With one repeat" in evaluated
    assert hpo("show", "--json").json["studies"][0]["data"]["is_phantom"]
    page = Path("studies/s/report.html").read_text()
    for text in (first.out, hpo(*grid, "--study", "s").out, hpo("show").out, evaluated, page):
        assert "synthetic" in text
    # A value is written as it is typed.
    assert "batch_norm true, repeat 1" in first.err
    assert "True" not in first.out + first.err


def test_a_search_continues_with_more_trials(hpo: Hpo, xrays: Path) -> None:
    search = (*SEARCH, "--data", xrays, "--json")
    first = hpo(*search, "--trials", "2").json
    assert hpo(*search, "--trials", "4", "--dry-run").json["n_to_train"] == 2
    more = hpo(*search, "--trials", "4").json
    assert (first["n_trained"], more["n_trained"]) == (2, 2)
    assert more["study"] == first["study"]
    shown = {str(c["params"]) for c in more["configurations"]}
    assert len(shown) == 4
    assert {str(c["params"]) for c in first["configurations"]} < shown


def test_a_search_out_of_time_says_how_to_continue(hpo: Hpo, xrays: Path) -> None:
    url = "sqlite:///other/my studies.db"
    search = (*SEARCH, "--data", xrays, "--storage", url, "--trials", "4", *OUT_OF_TIME)
    answer = hpo(*search)
    assert answer.code == 1
    missing = "4 trainings missing. To continue: `hpo resume search-"
    assert missing in answer.out
    assert f"--storage '{url}'`" in answer.out
    assert "missing" not in answer.err
    assert missing in hpo(*search, "--json").err
    assert " of 4 " in hpo("show", "--storage", url).out


def test_combinations_are_trained_once_where_they_are_equal(hpo: Hpo, xrays: Path) -> None:
    two = ("grid", "--param", "batch_size", "--param", "loss", "--values", "loss=bce,ce")
    options = ("--values", "batch_size=8,16", "--repeats", "1", *SMALL, "--data", xrays, "--json")
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
        answer = hpo(*GRID, "--data", xrays, "--study", "mine", "--test")
    said(answer, 130, "Stopped. Finished trainings are saved. To continue: hpo resume mine")
    assert hpo("show", "mine", "--json").json["n_openings"] == 0
    too_few = "8 vs 16: too few repeats are trained so far. Run `hpo resume mine`."
    assert too_few in hpo("show", "mine").out
    resumed = hpo("resume", "mine", "--json")
    assert (resumed.code, resumed.json["n_trained"]) == (0, 1)
    assert [c["state"] for c in resumed.json["configurations"]] == ["complete", "complete"]
    assert "too few repeats" not in hpo("show", "mine").out


def test_a_failed_cell_ends_with_1_seals_the_test_and_runs_again(hpo: Hpo, xrays: Path) -> None:
    command = (*DIVERGING, "--data", xrays, "--test", "--json")
    answer = hpo(*command)
    assert answer.code == 1
    complete, failed = answer.json["configurations"]
    assert (complete["state"], failed["state"]) == ("complete", "failed")
    assert failed["repeats"][0]["reason"].startswith("its loss was not")
    assert "The same command tries again" in answer.err
    assert "The test set was not used: 0 trainings missing and 1 failed" in answer.err
    assert answer.json["n_openings"] == 0
    assert hpo(*command).json["n_trained"] == 1


def test_batches_larger_than_the_images_are_refused_or_fail_alone(hpo: Hpo, xrays: Path) -> None:
    swept = ("grid", "--param", "batch_size", "--values", "8,500", *SMALL, "--data", xrays)
    for dry in ((), ("--dry-run",)):
        said(hpo(*swept, *dry), 2, "Leave 500 out: --values batch_size=8")
    fixed = ("grid", "--param", "loss", "--set", "batch_size=500", "--data", xrays)
    said(hpo(*fixed), 2, "Use --set batch_size=N with 64 at most")
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


def test_a_study_from_the_library_is_shown_by_its_commands(hpo: Hpo, xrays: Path) -> None:
    """The values are given as values and as texts: both are the same study."""
    from hpo import Settings, grid, open_study

    for given in ({"hidden": (8,), "image_size": 16}, {"hidden": "8", "image_size": "16"}):
        settings = Settings(data=xrays, set=given, values={"loss": "bce"}, repeats=1, epochs=1)
        made = grid("loss", settings)
    assert (made.n_trained, made.n_reused) == (0, 0)
    assert made.report
    assert "bce" in Path(made.report).read_text()
    found = open_study(made.name)
    assert found.report == made.report == hpo("show", made.name, "--json").json["report"]
    for shown in (repr(made), repr(found), repr(found.best)):
        assert len(shown) < 200
        assert "loss bce" in shown
