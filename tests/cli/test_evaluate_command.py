"""hpo evaluate and grid --test: the sealed test, from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpo.training.stack import StackedStack
from tests.conftest import SMALL, Answer, Hpo, make_images

GRID = (
    *("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "2", *SMALL),
    *("--study", "mine"),
)
TEST_FREE_KEYS = {"study", "kind", "configurations", "best", "verdict", "n_openings"}


@pytest.fixture
def mine(hpo: Hpo, xrays: Path) -> Answer:
    """A finished grid called mine."""
    return hpo(*GRID, "--data", xrays, "--json")


def keys(document: object) -> set[str]:
    """Return every key at any depth."""
    if isinstance(document, dict):
        return set(document) | {key for value in document.values() for key in keys(value)}
    if isinstance(document, list):
        return {key for value in document for key in keys(value)}
    return set()


def said(answer: Answer, code: int, *words: str) -> None:
    assert answer.code == code, answer
    assert "Traceback" not in answer.err
    text = " ".join(answer.err.split())
    for word in words:
        assert word in text, text


@pytest.mark.usefixtures("mine")
def test_evaluate_prints_the_document_and_tables_and_writes_the_page(hpo: Hpo) -> None:
    document = hpo("evaluate", "mine", "--json").json
    assert (document["study"], document["n_openings"]) == ("mine", 1)
    assert [c["params"]["batch_size"] for c in document["configurations"]] == [8, 16]
    for configuration in document["configurations"]:
        assert set(configuration["metrics"]["sensitivity"]) >= {"value", "low", "high"}
        assert sum(configuration["confusion"]["sum"].values()) == 2 * 16
        assert set(configuration["gap"]) == {"accuracy", "auroc"}
        assert configuration["thresholds"] == [0.5, 0.5]
        assert configuration["ensemble"]["n"] == 2
        assert configuration["ensemble"]["metrics"].keys() == configuration["metrics"].keys()
    assert document["openings"][0]["command"] == "hpo evaluate mine --json"
    assert document["verdict"]["pairs"][0]["sentence"]
    # The same look again is no other look; another threshold is.
    again = hpo("evaluate", "mine", "--json").json
    assert (again["n_openings"], again["configurations"]) == (1, document["configurations"])
    answer = hpo("evaluate", "mine", "--threshold", "sensitivity=0.9")
    for word in (
        *("sensitivity, %", "AUROC", "calibration error", "of 16", "batch_size 16"),
        *("8 normal and 8 pneumonia images", "sensitivity=0.9", "of 2 repeats"),
    ):
        assert word in answer.out
    assert hpo("show", "mine", "--json").json["n_openings"] == 2
    page = Path("studies/mine/report.html").read_text()
    assert "hpo evaluate mine --threshold" in page
    assert "Calibration" in page


def test_every_later_table_states_the_opening_and_what_came_after(
    hpo: Hpo, mine: Answer, xrays: Path
) -> None:
    for document in (mine.json, hpo("show", "mine", "--json").json):
        assert "test" not in keys(document)
        assert document["n_openings"] == 0
        assert set(document) >= TEST_FREE_KEYS
    assert "opened" not in hpo("show", "mine").out
    hpo("evaluate", "mine")
    assert "The test of mine was opened once." in hpo("show").out
    shown = hpo("show", "mine", "--json").json
    (best,) = (
        c for c in shown["test"]["configurations"] if c["params"] == shown["best"]["params"]
    )
    told = f"{100 * best['metrics']['accuracy']['value']:.1f}"
    assert f"Test result of {best['name']}, with 95 % intervals: accuracy {told} (" in (
        hpo("show", "mine").out
    )
    summary, _, _ = Path("studies/mine/report.html").read_text().partition('id="verdict"')
    assert "Test accuracy" in summary
    assert f"{told}\N{NO-BREAK SPACE}%" in summary
    more = hpo(*GRID, "--repeats", "3", "--data", xrays)
    assert "by `hpo evaluate mine`: 4 trials" in more.out
    assert "2 trials came after it" in more.out
    assert "2 trials came after it" in Path("studies/mine/report.html").read_text()


@pytest.mark.usefixtures("mine")
def test_evaluate_needs_neither_weights_nor_torch() -> None:
    for path in Path("studies/mine/weights").iterdir():
        path.unlink()
    program = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ImportError('torch is not there')\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "sys.argv = ['hpo', 'evaluate', 'mine', '--json']\n"
        "from hpo.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_openings"] == 1


def test_grid_test_opens_once_the_sweep_is_complete(hpo: Hpo, xrays: Path) -> None:
    cut = hpo(*GRID, "--data", xrays, "--test", "--timeout", "0.000001", "--json")
    assert "The test set was not used: 4 trainings missing and 0 failed" in cut.err
    assert cut.json["n_openings"] == 0
    assert "test" not in keys(cut.json)
    document = hpo(*GRID, "--data", xrays, "--test", "--json").json
    assert document["n_openings"] == 1
    assert len(document["test"]["configurations"]) == 2
    assert "--test" in document["openings"][0]["command"]
    again = hpo(*GRID, "--data", xrays, "--test", "--json").json
    assert (again["n_trained"], again["n_openings"]) == (0, 1)
    assert again["test"] == document["test"]
    shown = hpo(*GRID, "--repeats", "3", "--data", xrays, "--test")
    assert "Test of mine" in shown.out
    assert "of 3 repeats" in shown.out
    assert hpo("show", "mine", "--json").json["n_openings"] == 2


def test_grid_test_leaves_the_test_of_a_sweep_with_failures_sealed(hpo: Hpo, xrays: Path) -> None:
    answer = hpo(
        *("grid", "--param", "learning_rate", "--values", "0.001,10", "--repeats", "1"),
        *("--set", "optimizer=sgd", "--set", "normalize=none", "--set", "batch_norm=false"),
        *("--set", "image_size=16", "--set", "hidden=64-64-64", "--epochs", "3"),
        *("--data", xrays, "--test", "--json"),
    )
    assert answer.code == 1
    assert "The test set was not used: 0 trainings missing and 1 failed" in answer.err
    assert answer.json["n_openings"] == 0


def test_grid_test_interrupted_opens_nothing(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: StackedStack) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(StackedStack, "step", interrupt)
    assert hpo(*GRID, "--data", xrays, "--test").code == 130
    assert hpo("show", "mine", "--json").json["n_openings"] == 0


def test_grid_test_without_a_whole_test_split_trains_nothing(hpo: Hpo, xrays: Path) -> None:
    np.save(xrays / "test_normal.npy", make_images(0, is_ill=False, seed=0))
    said(hpo(*GRID, "--data", xrays, "--test"), 1)
    assert not Path("studies").exists()


@pytest.mark.usefixtures("mine")
def test_mistakes_are_explained_and_open_nothing(hpo: Hpo, xrays: Path) -> None:
    np.save(xrays / "test_normal.npy", make_images(8, is_ill=False, seed=50))
    for arguments, code, words in (
        (["minee"], 1, ["minee", "hpo show"]),
        (["mine", "--threshold", "best"], 2, ["--threshold", "youden"]),
        (["mine", "--storage", "sqlite:///nowhere.db"], 1, ["nowhere.db"]),
        (["mine"], 1, ["not what they were", "Put the old data back"]),
    ):
        said(hpo("evaluate", *arguments), code, *words)
    assert hpo("show", "mine", "--json").json["n_openings"] == 0


@pytest.mark.usefixtures("mine")
def test_lost_runs_are_named_and_come_back_as_the_message_says(hpo: Hpo, xrays: Path) -> None:
    lost = sorted(Path("studies/runs").iterdir())[0]
    content = json.loads(lost.read_text())["test_probabilities"]
    lost.unlink()
    said(hpo("evaluate", "mine"), 1, lost.name, "is missing", "--study mine-again", "HPO_RUNS")
    again = hpo(*GRID, "--data", xrays, "--study", "mine-again", "--json").json
    assert (again["n_trained"], again["n_reused"]) == (1, 3)
    assert json.loads(lost.read_text())["test_probabilities"] == content
    assert hpo("evaluate", "mine").code == 0


def test_the_phantom_is_said(hpo: Hpo) -> None:
    hpo(*GRID, "--repeats", "1")
    answer = hpo("evaluate", "mine")
    assert "synthetic" in answer.out
    assert "With one repeat" in answer.out


def test_a_search_evaluates_the_winner_or_all(hpo: Hpo, xrays: Path) -> None:
    search = ("search", "--param", "learning_rate", "--trials", "3", "--pruner", "none")
    search = (*search, "--finalists", "0")
    hpo(*search, *SMALL, "--data", xrays, "--study", "sought")
    assert len(hpo("evaluate", "sought", "--json").json["configurations"]) == 1
    every = hpo("evaluate", "sought", "--all", "--json").json
    assert len(every["configurations"]) == 3
    assert [len(o["trials"]) for o in every["openings"]] == [1, 3]
