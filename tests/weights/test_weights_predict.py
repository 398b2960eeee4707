"""Weights on the test images: patients, and outputs that are not numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from hpo.data.dataset import TEST, TRAIN, Dataset
from hpo.errors import WeightsError
from hpo.weights.load import open_model
from hpo.weights.network import Unseen
from hpo.weights.predict import evaluate_weights, predict
from tests.data.conftest import make_dataset
from tests.weights.conftest import SIDE, Save

STEEPNESS = 50


def brightness_network(threshold: float) -> nn.Module:
    """Return a network that calls an image ill if its mean pixel is above a threshold."""
    linear = nn.Linear(SIDE**2, 1)
    with torch.no_grad():
        linear.weight.fill_(STEEPNESS / SIDE**2)
        linear.bias.fill_(-STEEPNESS * threshold / 255)
    return nn.Sequential(nn.Flatten(), linear)


def dataset(
    normal: Sequence[int], ill: Sequence[int], *, patients: Sequence[str] | None = None
) -> Dataset:
    """Return a data set whose test images have these gray levels."""
    levels, n_test = [10, 20, 200, 210, *normal, *ill], len(normal) + len(ill)
    return make_dataset(
        [0, 0, 1, 1] + [0] * len(normal) + [1] * len(ill),
        split=[TRAIN] * 4 + [TEST] * n_test,
        patients=patients and [*"abcd", *patients],
        images=[np.full((SIDE, SIDE), level, np.uint8) for level in levels],
    )


@pytest.fixture
def weights(save: Save) -> Callable[..., Path]:
    """Save a network that decides by brightness."""

    return lambda threshold: save(brightness_network(threshold).state_dict())


def test_images_of_one_patient_are_resampled_together(weights: Callable[..., Path]) -> None:
    normal, ill = [50, 150] * 10, [150] * 20
    alone = evaluate_weights(weights(100), dataset(normal, ill))
    # Images of a patient are right or wrong together: five of each ten patients are wrong.
    named = [f"normal {i % 2} {i // 4}" for i in range(20)] + [f"ill {i}" for i in range(20)]
    together = evaluate_weights(weights(100), dataset(normal, ill, patients=named))
    assert (alone.n_patients, together.n_patients) == (40, 30)
    intervals = [found.result.metrics["specificity"] for found in (alone, together)]
    widths = [i.high - i.low for i in intervals]  # type: ignore[operator]
    assert widths[1] > 1.2 * widths[0]


def test_files_are_predicted_together_as_alone_and_broken_ones_in_their_place(
    weights: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = {"a.png": 90, "b.png": None, "c.png": 110, "d.png": None, "e.png": 101}
    for name, level in levels.items():
        (tmp_path / name).write_bytes(b"broken")
        if level:
            Image.new("L", (9, 7), level).save(tmp_path / name)
    networks, files = open_model(weights(100), None), [tmp_path / name for name in levels]
    monkeypatch.setattr("hpo.weights.predict._N_AT_ONCE", 2)
    together = [*predict(networks, files), *predict(networks, files[1:2])]
    assert [one.file for one in together] == [*files, files[1]]
    expected = ["normal", None, "pneumonia", None, "pneumonia", None]
    assert [None if one.problem else one.label for one in together] == expected
    for one in together:
        (alone,) = predict(networks, [one.file])
        assert one.probabilities == pytest.approx(alone.probabilities)


def test_values_that_overflow_are_refused(save: Save) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 2))
    with torch.no_grad():
        network[1].weight.fill_(1e38)
    path = save(network.state_dict())
    with pytest.raises(WeightsError, match="no number for 2 of 2 images"):
        evaluate_weights(path, dataset([50], [60]), unseen=Unseen(input_scale="raw"))
