"""The test set stays sealed: training, scoring and selection never see a test label."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpo import Settings, grid
from hpo.data.dataset import TEST, Dataset, seal
from hpo.data.source import open_data
from hpo.study.summary import to_document
from tests.test_architecture import MODULES, imports, is_within

# Not hpo.cli and hpo.api: they evaluate on the test set on request.
CHOOSERS = (
    "hpo.study.baselines",
    "hpo.training",
    "hpo.space",
    "hpo.run.plan",
    "hpo.study.study",
    "hpo.run.sources",
    "hpo.study.gathering",
    "hpo.run.loop",
    "hpo.run.session",
    "hpo.run.forecast",
)


def flip_test_labels(dataset: Dataset) -> Dataset:
    """Return the data with every test label flipped."""
    labels = dataset.labels.copy()
    labels[dataset.where(TEST)] ^= 1
    return replace(dataset, labels=labels)


def test_training_scoring_and_selection_do_not_import_hpo_evaluate() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        if any(is_within(module, chooser) for chooser in CHOOSERS)
        for imported in imports(path)
        if is_within(imported, "hpo.evaluate")
    ]
    assert wrong == []


def test_every_entry_of_choosers_is_a_module() -> None:
    for chooser in CHOOSERS:
        assert any(is_within(module, chooser) for module in MODULES), chooser


def test_training_data_do_not_depend_on_test_labels(xrays: Path) -> None:
    dataset = open_data(xrays)
    one, other = seal(dataset), seal(flip_test_labels(dataset))
    assert len(one.labels) == one.n_pool == len(dataset) - one.n_test
    assert (one.labels == other.labels).all()
    assert (one.pixels_at(16) == other.pixels_at(16)).all()
    for repeat in range(7):
        assert (one.fold(repeat).train == other.fold(repeat).train).all()
        assert (one.fold(repeat).validation == other.fold(repeat).validation).all()


def test_flipped_test_labels_change_no_score_and_no_choice(
    xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(xrays.parent)
    settings = Settings(
        data=xrays,
        set={"image_size": "16", "hidden": "8"},
        values={"batch_size": "8,16"},
        repeats=2,
        epochs=2,
        lanes=1,
        storage="sqlite:///one/hpo.db",
    )
    first = to_document(grid(["batch_size"], settings))
    flipped = flip_test_labels(open_data(xrays))
    monkeypatch.setattr("hpo.run.plan.open_data", lambda *_: flipped)
    monkeypatch.setenv("HPO_RUNS", str(xrays.parent / "others"))
    second = to_document(grid(["batch_size"], replace(settings, storage="sqlite:///two/hpo.db")))
    for key in ("best", "verdict", "baselines"):
        assert first[key] == second[key]
    scores = [
        [[r["score"] for r in c["repeats"]] for c in document["configurations"]]
        for document in (first, second)
    ]
    assert scores[0] == scores[1]
    assert np.isfinite(scores[0]).all()
