"""Unbalanced classes and more than two classes, from the command line."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo.run.plan import Settings, plan_grid, plan_search
from tests.conftest import SIZE, SMALL, Hpo


def write_classes(path: Path, n_train: tuple[int, ...], n_test: int) -> Path:
    """Write an archive of noise with a bright corner, at another place for each class."""
    rng, arrays = np.random.default_rng(0), {}
    for split, counts in (("train", n_train), ("test", (n_test,) * len(n_train))):
        labels = np.repeat(np.arange(len(counts)), counts)
        images = rng.integers(0, 120, (len(labels), SIZE, SIZE))
        for label in range(1, len(counts)):
            images[labels == label, 6 * label - 6 : 6 * label, :6] += 60
        arrays |= {f"{split}_images": images.astype(np.uint8), f"{split}_labels": labels}
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(("n_train", "is_unequal"), [((20, 30), False), ((20, 31), True)])
def test_unbalanced_classes_make_balanced_accuracy_the_default_with_a_note(
    tmp_path: Path, n_train: tuple[int, ...], is_unequal: bool
) -> None:
    settings = Settings(data=write_classes(tmp_path / "data.npz", n_train, 4))
    kinds = plan_grid(["dropout"], settings), plan_search([], settings)
    for plan, metric in zip(kinds, ("accuracy", "stress_accuracy"), strict=True):
        unequal = metric.replace("accuracy", "balanced_accuracy")
        assert plan.record.metric == (unequal if is_unequal else metric)
        assert any("more unequal than 60:40" in note for note in plan.record.notes) == is_unequal
    named = Settings(data=settings.data, metric="accuracy")
    assert plan_grid(["dropout"], named).record.metric == "accuracy"


NAMES = ["class 0", "class 1", "class 2"]


@pytest.fixture
def three(tmp_path: Path) -> Path:
    return write_classes(tmp_path / "three.npz", (20, 20, 20), 6)


def test_three_classes_are_trained_evaluated_predicted_and_exported(
    hpo: Hpo, three: Path, tmp_path: Path
) -> None:
    fixed = (*SMALL, "--set", "batch_size=8", "--data", three, "--repeats", "2", "--study", "g")
    swept = ("--param", "loss", "--values", "bce,focal", "--set", "learning_rate=0.02")
    found = hpo("grid", *swept, *fixed, "--metric", "stress_auroc", "--json").json
    assert (found["n_trained"], len(found["verdict"]["pairs"])) == (4, 1)
    assert {c["score"] > 0.5 for c in found["configurations"]} == {True}
    tested = hpo("evaluate", "g", "--json").json
    assert tested["classes"] == dict.fromkeys(NAMES, 6)
    for one in tested["configurations"]:
        matrix = np.array(one["confusion"])
        assert matrix.sum(1).tolist() == [12, 12, 12]
        right = matrix.trace() / 36
        assert one["metrics"]["accuracy"]["value"] == pytest.approx(right)
        assert one["metrics"]["balanced_accuracy"]["value"] == pytest.approx(right)
        assert one["roc"] is None
    refused = hpo("evaluate", "g", "--threshold", "0.4")
    assert (refused.code, "--threshold is for two classes" in refused.err) == (2, True)
    shown = hpo("evaluate", "g")
    assert "6 class 0, 6 class 1 and 6 class 2 images\n" in shown.out
    assert "sensitivity" not in shown.out
    assert re.search(r"class 0 classified as class 2 +│ +[0-9.]+ +│", shown.out)
    assert "log loss" in shown.out
    page = (tmp_path / "studies" / "g" / "report.html").read_text()
    assert "share of correct predictions" in page
    assert "Confusion matrix" in page
    assert hpo("reproduce", "g", "#1", "--json").json["result"] == "equal"

    exported = hpo("export", "g")
    assert exported.code == 0
    assert "threshold" not in exported.out  # The most likely of three classes is predicted.
    home = next((tmp_path / "studies" / "g" / "export").glob("*/predict.py")).parent
    with np.load(three) as archive:
        Image.fromarray(archive["test_images"][-1]).save(tmp_path / "x.png")
    of_study, of_folder = (
        hpo("predict", model, "x.png", "--json").json["images"][0]["probabilities"]
        for model in ("g", home)
    )
    assert of_study == of_folder
    assert list(of_study) == NAMES
    assert sum(of_study.values()) == pytest.approx(1)
    lines = hpo("predict", "g", "x.png").out.splitlines()
    header, (label, *numbers, _) = (re.split(" {2,}", line) for line in lines)
    assert header == ["label", *NAMES, "image"]
    assert label == max(of_study, key=lambda name: of_study[name])
    assert [float(x) for x in numbers] == pytest.approx([*of_study.values()], abs=1e-4)
    script = runpy.run_path(str(home / "predict.py"))
    assert script["predict"]("x.png") == pytest.approx([*of_study.values()], abs=1e-6)
    weights = hpo("evaluate", "--weights", home, "--data", three, "--json").json
    name = json.loads((home / "config.json").read_text())["params"]["loss"]
    (same,) = (one for one in tested["configurations"] if one["params"]["loss"] == name)
    assert weights["confusion"] == same["ensemble"]["confusion"]


def test_one_class_versus_the_rest_is_a_binary_study(hpo: Hpo, three: Path) -> None:
    values = ("--param", "dropout", "--values", "0.1", "--set", "batch_size=8", "--repeats", "1")
    against = (*values, *SMALL, "--data", three, "--positive", "class 2", "--study", "p")
    assert hpo("grid", *against, "--test").code == 0
    found = hpo("evaluate", "p", "--threshold", "0.4", "--json").json
    assert found["classes"] == {"class 0 or class 1": 12, "class 2": 6}
    assert "sensitivity" in found["configurations"][0]["metrics"]


def test_outputs_that_do_not_match_the_classes_are_refused(hpo: Hpo, three: Path) -> None:
    for fields in (("dropout", "--set", "outputs=2"), ("outputs", "--values", "1,3")):
        refused = hpo("grid", "--param", *fields, "--data", three, "--dry-run")
        assert (refused.code, "outputs must be 3, one for each" in refused.err) == (2, True)
