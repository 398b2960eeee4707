"""hpo evaluate --weights: external weights on the test images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import SIZE, Hpo


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A network with two outputs, trained on pixels of 0..255 as in report D."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIZE**2, 2))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].weight[1, :SIZE].fill_(0.01)
        network[1].bias.copy_(torch.tensor([0.0, -12.0]))
    path = tmp_path / "weights.pth"
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 30, "state_dict": state}, path)
    return path


@pytest.mark.parametrize(("scale", "factor"), [("raw", 1), ("unit", 1 / 255)])
def test_correct_predictions_are_counted_by_the_argmax(
    hpo: Hpo, xrays: Path, weights: Path, scale: str, factor: float
) -> None:
    n_right = 0
    for label, name in enumerate(("test_normal", "test_pneumonia")):
        pixels = np.load(xrays / f"{name}.npy").reshape(8, -1) * factor
        n_right += int((((pixels[:, :SIZE] * 0.01).sum(1) - 12 > 0) == label).sum())
    arguments = ("evaluate", "--weights", weights, "--data", xrays, "--input-scale", scale)
    found = hpo(*arguments, "--json").json
    assert (found["n_right"], found["n_images"]) == (n_right, 16)
    assert (n_right == 8) == (scale == "unit")
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(n_right / 16)
    assert found["architecture"] == "Flatten -> Linear(256, 2)"
    assert any("under the key state_dict" in note for note in found["notes"])
    shown = hpo(*arguments)
    assert f"{n_right} of 16 correct" in shown.out
    assert "bootstrap over 16 images" in shown.out
    assert "starts with module., which is ignored" in shown.err
    sign = "Every test image is classified as normal. Was it trained on this --input-scale?"
    assert (sign in shown.out) == (scale == "unit")
    (n_healthy, _), (n_missed, n_found) = found["confusion"]
    assert (n_healthy + n_found, n_missed + n_found) == (n_right, 8)
