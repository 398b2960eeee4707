"""hpo grid, search and resume, as a user types them."""

import json
from pathlib import Path

from hpo.data.dataset import seal
from hpo.data.source import open_data
from tests.cli.conftest import DIVERGING, GRID, OUT_OF_TIME, assert_error
from tests.conftest import SMALL, Hpo

SEARCH = (
    *("search", "--param", "learning_rate", "--param", "dropout", "--finalists", "0"),
    *SMALL,
)


def test_a_grid_writes_table_page_and_json_and_trains_nothing_twice(hpo: Hpo, xrays: Path) -> None:
    command = (*GRID, "--data", xrays, "--json")
    dry = hpo(*command, "--dry-run").json
    assert (dry["n_to_train"], min(dry["seconds"], dry["memory_bytes"]) > 0) == (4, True)
    assert not Path("studies").exists()
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

    # Every output states what is assumed about the data.
    unknown = "Patients unknown: each image counts as its own patient. Images of one patient may"
    for document in (dry, first, hpo("show", "--json").json["studies"][0]):
        assert document["data"]["notes"][0].startswith(unknown)
    for text in (
        *(answer.err, hpo(*command[:-1], "--repeats", "3", "--dry-run").out),
        *(hpo(*words, first["study"]).out for words in (("show",), ("resume",))),
        *(hpo("data", "info", "--data", xrays).out, Path(first["report"]).read_text()),
    ):
        assert unknown in text

    images = open_data(xrays)
    data = seal(images)
    for run in (json.loads(path.read_text()) for path in Path("studies/runs").glob("*.json")):
        validated = data.fold(run["key"]["fold"]).validation
        assert run["validation_images"] == validated.tolist()
        assert run["validation_labels"] == data.labels[validated].tolist()
        assert run["validation_patients"] == images.patients[validated].tolist()

    shown = hpo(*command[:-1]).out
    assert unknown in shown
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


def test_equal_combinations_are_trained_once(hpo: Hpo, xrays: Path) -> None:
    grid = ("grid", "--param", "scheduler", "--param", "step_size", "--repeats", "1", *SMALL)
    note = "9 combinations, 5 distinct: where step_size has no effect, they share one training."
    assert note in hpo(*grid, "--data", xrays, "--dry-run").out
    answer = hpo(*grid, "--data", xrays)
    assert "Trained 5, " in answer.out
    assert answer.out.count(note) == 1


def test_a_failed_cell_exits_with_1_seals_the_test_and_is_retried(hpo: Hpo, xrays: Path) -> None:
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


def test_batch_sizes_above_the_image_count_are_refused_or_left_out(hpo: Hpo, xrays: Path) -> None:
    swept = ("grid", "--param", "batch_size", "--values", "8,500", *SMALL, "--data", xrays)
    for dry in ((), ("--dry-run",)):
        assert_error(hpo(*swept, *dry), 2, "Leave 500 out: batch_size=8")
    fixed = ("grid", "--param", "loss", "--set", "batch_size=500", "--data", xrays)
    assert_error(hpo(*fixed), 2, "Use --set batch_size=N with N at most 64")
    assert not Path("studies").exists()
    space = "[base]\nbatch_size = 8\n[search]\nbatch_size = { choices = [8, 16, 500] }\n"
    Path("space.toml").write_text(space)
    search = ("search", "--space", "space.toml", *SMALL, "--metric", "accuracy", "--data", xrays)
    search += ("--finalists", "0", "--study", "s")
    left_out = "The search leaves out batch_size 500: there are 64 training images."
    assert left_out in hpo(*search, "--dry-run").out
    answer = hpo(*search)
    assert answer.code == 0
    assert "Trained 2, in" in answer.out
    assert left_out in answer.out
    configurations = hpo("show", "s", "--json").json["configurations"]
    assert {c["params"]["batch_size"] for c in configurations} == {8, 16}
    assert hpo("resume", "s").code == 0
    Path("space.toml").write_text(space.replace("choices = [8, 16, 500]", "low = 8, high = 500"))
    ranged = hpo(*search[:-1], "ranged", "--trials", "3")
    assert "The search leaves out batch_size above 64" in ranged.out
    configurations = hpo("show", "ranged", "--json").json["configurations"]
    assert max(c["params"]["batch_size"] for c in configurations) <= 64
    Path("space.toml").write_text(space.replace("[8, 16, 500]", "[500]"))
    assert_error(
        hpo(*search), 2, "tries batch_size from 500, but there are only 64 training images"
    )
    Path("space.toml").write_text(space.replace("size = 8", "size = 500"))
    assert_error(hpo(*search), 2, "Use --set batch_size=N with N at most 64")
