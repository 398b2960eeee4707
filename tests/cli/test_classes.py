"""Classes of other sizes and numbers than two halves, through the front door."""

from pathlib import Path

import numpy as np
import pytest

from hpo.run.plan import SearchSettings, Settings, plan_grid, plan_search
from tests.conftest import SIZE


def write_classes(path: Path, n_train: tuple[int, ...], n_test: int) -> Path:
    """Write an archive whose images of class k are noise with a bright corner of its own."""
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
def test_unequal_classes_make_balanced_accuracy_the_default_metric_and_say_so(
    tmp_path: Path, n_train: tuple[int, ...], is_unequal: bool
) -> None:
    settings = Settings(data=write_classes(tmp_path / "data.npz", n_train, 4))
    kinds = plan_grid(["dropout"], settings), plan_search([], settings, SearchSettings())
    for plan, metric in zip(kinds, ("accuracy", "stress_accuracy"), strict=True):
        unequal = metric.replace("accuracy", "balanced_accuracy")
        assert plan.record.metric == (unequal if is_unequal else metric)
        assert any("further apart than 60:40" in note for note in plan.record.notes) == is_unequal
    named = Settings(data=settings.data, metric="accuracy")
    assert plan_grid(["dropout"], named).record.metric == "accuracy"
