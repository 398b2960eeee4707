"""hpo evaluate and grid --test: the sealed test set, from the command line."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import GRID, OUT_OF_TIME, assert_error
from tests.conftest import Answer, Hpo, make_images

TEST_FREE_KEYS = {"study", "kind", "configurations", "best", "verdict", "n_openings"}


def keys(document: object) -> set[str]:
    """Return every key at any depth."""
    if isinstance(document, dict):
        return set(document) | {key for value in document.values() for key in keys(value)}
    if isinstance(document, list):
        return {key for value in document for key in keys(value)}
    return set()


@pytest.mark.usefixtures("mine")
def test_evaluate_prints_json_and_tables_and_writes_the_page(hpo: Hpo) -> None:
    document = hpo("evaluate", "mine", "--json").json
    assert (document["study"], document["n_openings"]) == ("mine", 1)
    assert [c["params"]["batch_size"] for c in document["configurations"]] == [8, 16]
    for configuration in document["configurations"]:
        assert set(configuration["metrics"]["sensitivity"]) >= {"value", "low", "high"}
        assert sum(map(sum, configuration["confusion"])) == 2 * 16
        assert set(configuration["gap"]) == {"accuracy", "auroc"}
        assert configuration["thresholds"] == [0.5, 0.5]
        assert configuration["ensemble"]["n"] == 2
        assert configuration["ensemble"]["metrics"].keys() == configuration["metrics"].keys()
    assert document["openings"][0]["command"] == "hpo evaluate mine --json"
    assert document["verdict"]["pairs"][0]["sentence"]
    # Repeating an evaluation is not another test access; another threshold is.
    again = hpo("evaluate", "mine", "--json").json
    assert (again["n_openings"], again["configurations"]) == (1, document["configurations"])
    shown = hpo("evaluate", "mine", "--threshold", "sensitivity=0.9").out
    for word in (
        *("sensitivity, %", "AUROC", "calibration error", "of 16", "batch_size 16"),
        *("8 normal and 8 pneumonia images", "sensitivity=0.9", "of 2 repeats"),
    ):
        assert word in shown
    assert hpo("show", "mine", "--json").json["n_openings"] == 2
    page = Path("studies/mine/report.html").read_text()
    assert "<span>evaluate</span> <span>mine</span> <span>--threshold</span>" in page
    assert "Calibration" in page


def test_later_tables_report_the_test_access_and_later_trials(
    hpo: Hpo, mine: Answer, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for document in (mine.json, hpo("show", "mine", "--json").json):
        assert "test" not in keys(document)
        assert document["n_openings"] == 0
        assert set(document) >= TEST_FREE_KEYS
    assert "opened" not in hpo("show", "mine").out
    # HPO_DATA does not replace the recorded path of a study.
    monkeypatch.setenv("HPO_DATA", "nowhere")
    assert hpo("evaluate", "mine").code == 0
    assert "The test of mine was opened once." in hpo("show").out
    shown = hpo("show", "mine", "--json").json
    params = shown["best"]["params"]
    (best,) = (c for c in shown["test"]["configurations"] if c["params"] == params)
    accuracy = f"{100 * best['metrics']['accuracy']['value']:.1f}\N{NO-BREAK SPACE}%"
    sentence = f"Test result of {best['name']}, with 95 % intervals: accuracy {accuracy}"
    assert sentence in hpo("show", "mine").out
    page = Path("studies/mine/report.html")
    summary = page.read_text().partition('id="verdict"')[0]
    assert "Test accuracy" in summary
    assert accuracy in summary
    more = hpo(*GRID, "--study", "mine", "--repeats", "3", "--data", xrays)
    assert "by `hpo evaluate mine`: 4 trials" in more.out
    for text in (more.out, page.read_text()):
        assert "2 trials came after it" in text


@pytest.mark.usefixtures("mine")
def test_evaluate_needs_neither_weights_nor_torch() -> None:
    shutil.rmtree("studies/mine/weights")
    program = "import sys; sys.argv = ['hpo', 'evaluate', 'mine']\nfrom hpo.cli import main\n"
    program += "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_grid_test_evaluates_once_the_sweep_is_complete(hpo: Hpo, xrays: Path) -> None:
    grid = (*GRID, "--study", "mine", "--data", xrays, "--test")
    cut = hpo(*grid, *OUT_OF_TIME, "--json")
    assert "The test set was not used: 4 trainings missing and 0 failed" in cut.err
    assert cut.json["n_openings"] == 0
    assert "test" not in keys(cut.json)
    document = hpo(*grid, "--json").json
    assert document["n_openings"] == 1
    assert len(document["test"]["configurations"]) == 2
    assert "--test" in document["openings"][0]["command"]
    again = hpo(*grid, "--json").json
    assert (again["n_trained"], again["n_openings"]) == (0, 1)
    assert again["test"] == document["test"]
    shown = hpo(*grid, "--repeats", "3")
    assert "Test of mine" in shown.out
    assert "of 3 repeats" in shown.out
    assert hpo("show", "mine", "--json").json["n_openings"] == 2


def test_grid_test_without_both_test_classes_trains_nothing(hpo: Hpo, xrays: Path) -> None:
    np.save(xrays / "test_normal.npy", make_images(0, is_ill=False, seed=0))
    assert_error(hpo(*GRID, "--data", xrays, "--test"), 1)
    assert not Path("studies").exists()


@pytest.mark.usefixtures("mine")
def test_mistakes_are_explained_and_do_not_open_the_test(hpo: Hpo, xrays: Path) -> None:
    assert_error(hpo("evaluate", "mine", "--threshold", "best"), 2, "--threshold", "youden")
    assert_error(hpo("evaluate", "mine", "--storage", "sqlite:///nowhere.db"), 1, "nowhere.db")
    np.save(xrays / "test_normal.npy", make_images(8, is_ill=False, seed=50))
    assert_error(hpo("evaluate", "mine"), 1, "have changed", "Restore the old data")
    assert hpo("show", "mine", "--json").json["n_openings"] == 0


@pytest.mark.usefixtures("mine")
def test_evaluating_another_data_set_uses_all_images_and_is_recorded(
    hpo: Hpo, xrays: Path
) -> None:
    other = xrays.parent / "other"
    other.mkdir()
    for name, is_ill in (("test_normal", False), ("normal", False), ("pneumonia", True)):
        np.save(other / f"{name}.npy", make_images(6, is_ill=is_ill, seed=90 + len(name)))
    np.save(other / "test_pneumonia.npy", np.load(xrays / "pneumonia.npy")[:2])
    document = hpo("evaluate", "mine", "--on", other, "--json").json
    assert document["classes"] == {"normal": 12, "pneumonia": 8}
    assert (right := document["n_right"]) >= 12
    assert "2 images of it are also in the data of the study." in document["notes"][-1]
    assert hpo("show", "mine", "--json").json["n_openings"] == 1
    assert "Another data set, other, was tested on" in hpo("show", "mine").out
    assert_error(hpo("evaluate", "mine", "--on", other, "--all"), 2, "Leave --all out")
    assert_error(
        hpo("evaluate", "--weights", "x.pt", "--on", other), 2, "--on is only for a study"
    )
    named = xrays.parent / "named"
    for label, (name, is_ill) in enumerate((("flu", True), ("well", False))):
        (named / name).mkdir(parents=True)
        for i, image in enumerate(make_images(6, is_ill=is_ill, seed=70 + label)):
            Image.fromarray(image).save(named / name / f"{i}.png")
    document = hpo("evaluate", "mine", "--on", named, "--positive", "flu", "--json").json
    assert document["classes"] == {"well": 6, "flu": 6}
    assert "Its classes correspond to those of the study: well for normal" in document["notes"][-1]
    assert_error(hpo("evaluate", "mine", "--positive", "flu"), 2, "only for --weights and --on")
    # Equal names decide, not their order: of the same images the same ones are right.
    swapped = hpo("evaluate", "mine", "--on", other, "--positive", "normal", "--json").json
    assert swapped["n_right"] == right
    assert not any("correspond" in note for note in swapped["notes"])
    # The threshold is that of the delivered model, chosen on validation images of the study.
    rule = ("--threshold", "sensitivity=0.9")
    ruled = hpo("evaluate", "mine", "--on", other, *rule, "--json").json
    assert ruled["threshold"] not in (0.5, document["threshold"])
    hpo("evaluate", "mine", *rule)
    assert hpo("evaluate", "mine", "--on", other, "--json").json["threshold"] == ruled["threshold"]
    assert hpo("predict", "mine", named, "--json").json["threshold"] == ruled["threshold"]
