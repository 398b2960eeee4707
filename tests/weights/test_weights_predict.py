"""Weights on the test images: metrics, confusion, and what is said of broken networks."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hpo.data.dataset import CLASS_NAMES, TEST, Dataset, Pixels
from hpo.data.source import open_table
from hpo.data.table import BY_NAME, Row, Table
from hpo.errors import WeightsError
from hpo.weights.network import Unseen
from hpo.weights.predict import evaluate_weights
from tests.weights.conftest import SIDE, Save

N_POOL = 4
STEEPNESS = 50


def brightness_network(threshold: float) -> nn.Module:
    """Return a network that calls images ill whose mean pixel is above a threshold."""
    linear = nn.Linear(SIDE**2, 1)
    with torch.no_grad():
        linear.weight.fill_(STEEPNESS / SIDE**2)
        linear.bias.fill_(-STEEPNESS * threshold / 255)
    return nn.Sequential(nn.Flatten(), linear)


def images(values: Sequence[int]) -> list[Pixels]:
    return [np.full((SIDE, SIDE), value, np.uint8) for value in values]


def dataset(
    normal: Sequence[int], ill: Sequence[int], *, patients: Sequence[str] | None = None
) -> Dataset:
    """Return a data set whose test images have these gray levels."""
    every = images([10, 20, 200, 210, *normal, *ill])
    labels = [0, 0, 1, 1] + [0] * len(normal) + [1] * len(ill)
    n_test = len(normal) + len(ill)
    keys = [*(f"pool {i}" for i in range(N_POOL)), *(patients or [""] * n_test)]
    splits = [0] * N_POOL + [TEST] * n_test
    rows = [
        Row(f"image {i}", (CLASS_NAMES[label],), split, key, patients is not None)
        for i, (label, split, key) in enumerate(zip(labels, splits, keys, strict=True))
    ]
    return open_table(
        Table(
            name="made",
            location="made",
            format="memory",
            rows=rows,
            patients_by=BY_NAME,
            read=lambda some: (every[int(image.split()[1])] for image in some),
        )
    )


@pytest.fixture
def weights(save: Save) -> Callable[..., Path]:
    """Save a network that goes by brightness."""

    return lambda threshold: save(brightness_network(threshold).state_dict())


def test_metrics_and_confusion_are_those_of_the_answers(weights: Callable[..., Path]) -> None:
    data = dataset([50, 60, 70, 150], [90, 140, 160, 170, 180, 190])
    found = evaluate_weights(weights(100), data)
    assert (found.classes, found.n_patients) == ({"normal": 4, "pneumonia": 6}, 10)
    assert found.result.confusion == ((3, 1), (1, 5))
    values = {name: interval.mean for name, interval in found.result.metrics.items()}
    assert values["accuracy"] == pytest.approx(0.8)
    assert values["sensitivity"] == pytest.approx(5 / 6)
    assert values["specificity"] == pytest.approx(3 / 4)
    assert values["balanced_accuracy"] == pytest.approx((5 / 6 + 3 / 4) / 2)
    assert values["auroc"] == pytest.approx((3 * 6 + 4) / 24)
    z = STEEPNESS * (np.array([50, 60, 70, 150, 90, 140, 160, 170, 180, 190]) - 100) / 255
    brier = np.mean((1 / (1 + np.exp(-z)) - ([0] * 4 + [1] * 6)) ** 2)
    assert values["brier"] == pytest.approx(brier, rel=1e-5)
    for i in found.result.metrics.values():
        assert i.low <= i.mean <= i.high  # type: ignore[operator]


def test_images_of_one_patient_are_drawn_together(weights: Callable[..., Path]) -> None:
    normal, ill = [50, 150] * 10, [150] * 20
    alone = evaluate_weights(weights(100), dataset(normal, ill))
    # Images of a patient are right or wrong together: five of each ten patients are wrong.
    named = [f"normal {i % 2} {i // 4}" for i in range(20)] + [f"ill {i}" for i in range(20)]
    together = evaluate_weights(weights(100), dataset(normal, ill, patients=named))
    assert (alone.n_patients, together.n_patients) == (40, 30)
    intervals = [found.result.metrics["specificity"] for found in (alone, together)]
    widths = [i.high - i.low for i in intervals]  # type: ignore[operator]
    assert widths[1] > 1.2 * widths[0]


def test_answers_of_one_class_ask_for_the_scale_of_the_input(
    weights: Callable[..., Path],
) -> None:
    data = dataset([50, 60, 70], [110, 120, 150])
    (sign,) = evaluate_weights(weights(20), data).signs
    assert sign.startswith("Every test image is classified as pneumonia.")
    assert "--input-scale" in sign
    assert evaluate_weights(weights(100), data).signs == ()


def test_values_that_overflow_are_refused(save: Save) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 2))
    with torch.no_grad():
        network[1].weight.fill_(1e38)
    path = save(network.state_dict())
    with pytest.raises(WeightsError, match="no number for 2 of 2 images"):
        evaluate_weights(path, dataset([50], [60]), unseen=Unseen(input_scale="raw"))
