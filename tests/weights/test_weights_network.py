"""A network that was read from weights answers as the nn.Sequential that they were saved from."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hpo.config import Activation
from hpo.data import Pixels
from hpo.training.model import ACTIVATIONS
from hpo.weights import Network, Unseen, open_network
from tests.weights.conftest import SIDE, Save, reports_network, sequential

PIXELS: Pixels = np.random.default_rng(0).integers(0, 256, (40, SIDE, SIDE), dtype=np.uint8)
UNIT = torch.from_numpy(PIXELS).float() / 255
RAW = torch.from_numpy(PIXELS).float()


def opened(network: nn.Sequential, unseen: Unseen) -> Network:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pt"
        torch.save(network.state_dict(), path)
        return open_network(path, unseen)


@torch.no_grad()
def outputs(network: nn.Sequential, images: Tensor) -> np.ndarray:
    return network(images).double().numpy()


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Sequential, Activation]:
    """Draw an order of modules that numbers can tell."""
    activation: Activation = draw(st.sampled_from(get_args(Activation)))
    modules: list[nn.Module] = [nn.Flatten()]
    n_inputs = SIDE**2
    for width in draw(st.lists(st.integers(1, 9), max_size=4)):
        modules.append(nn.Linear(n_inputs, width, bias=draw(st.booleans())))
        act, norm = ACTIVATIONS[activation](), nn.BatchNorm1d(width)
        modules += draw(st.sampled_from([[act], [norm, act], [act, norm], [norm], []]))
        if isinstance(modules[-1], ACTIVATIONS[activation]) and draw(st.booleans()):
            modules.append(nn.Dropout(0.5))
        n_inputs = width
    modules.append(nn.Linear(n_inputs, draw(st.integers(1, 2))))
    return sequential(*modules, seed=draw(st.integers(0, 5))), activation


@given(networks())
def test_it_gives_what_the_sequential_gives(drawn: tuple[nn.Sequential, Activation]) -> None:
    network, activation = drawn
    told = opened(network, Unseen(activation=activation)).probabilities(PIXELS)
    z = outputs(network, UNIT)
    log_odds = z[:, 0] if z.shape[1] == 1 else z[:, 1] - z[:, 0]
    np.testing.assert_allclose(told, 1 / (1 + np.exp(-log_odds)), rtol=1e-4, atol=1e-6)


def test_raw_pixels_and_the_argmax_of_two_outputs_as_in_report_d() -> None:
    network = reports_network(n_outputs=2)
    told = opened(network, Unseen(input_scale="raw")).probabilities(PIXELS)
    z = outputs(network, RAW)
    assert 0 < z.argmax(1).sum() < len(z)
    np.testing.assert_array_equal(told > 0.5, z.argmax(1) == 1)


@pytest.mark.parametrize(
    ("scale", "values"),
    [
        ("symmetric", UNIT * 2 - 1),
        ("0.449,0.226", (UNIT - 0.449) / 0.226),
        ("0.5,1", UNIT - 0.5),
        ("image", (RAW - RAW.mean((1, 2), keepdim=True)) / RAW.std((1, 2), keepdim=True)),
    ],
)
def test_inputs_are_scaled_as_the_script_did(scale: str, values: torch.Tensor) -> None:
    network = reports_network()
    told = opened(network, Unseen(input_scale=scale)).probabilities(PIXELS)
    wanted = 1 / (1 + np.exp(-outputs(network, values)[:, 0]))
    # An image is centered on its mean as a whole gray level, and the deviation is that of all.
    np.testing.assert_allclose(told, wanted, atol=0.1 if scale == "image" else 1e-5)


def test_two_outputs_that_are_equal_mean_normal_as_argmax_does() -> None:
    network = reports_network(n_outputs=2)
    with torch.no_grad():
        network[9].weight.zero_()
        network[9].bias.zero_()
    assert (opened(network, Unseen()).probabilities(PIXELS) == 0.5).all()


def test_a_sigmoid_too_many_keeps_probabilities_above_one_half_as_in_report_a() -> None:
    network = reports_network()
    once = opened(network, Unseen())
    twice = opened(network, Unseen(has_sigmoid=True))
    assert twice.text.endswith("Linear(5, 1) -> Sigmoid")
    told = twice.probabilities(PIXELS)
    assert 0.5 < told.min() < told.max() < 0.7311
    order = np.argsort(once.probabilities(PIXELS))
    assert (np.diff(told[order]) >= 0).all()


@pytest.mark.parametrize("has_sigmoid", [False, True])
def test_what_was_assumed_is_said(has_sigmoid: bool) -> None:
    unseen = Unseen(input_scale="raw", activation="gelu", has_sigmoid=has_sigmoid)
    notes = " ".join(opened(reports_network(), unseen).notes)
    assert "Activation: gelu" in notes
    assert "pixels 0..255 (--input-scale raw)" in notes
    assert ("another on top of it" in notes) == has_sigmoid


def fitted(scale: float) -> nn.Sequential:
    """Return a network whose first BatchNorm has seen the pixels at a scale."""
    network = reports_network()
    with torch.no_grad():
        values = network[1](network[0](RAW * scale))
        network[2].running_mean.copy_(values.mean(0))
        network[2].running_var.copy_(values.var(0))
    return network


@pytest.mark.parametrize(("scale", "right"), [(1 / 255, "unit"), (1.0, "raw")])
def test_the_first_batch_norm_tells_a_wrong_input_scale(scale: float, right: str) -> None:
    network = fitted(scale)
    for given_scale in ("unit", "raw"):
        warned = opened(network, Unseen(input_scale=given_scale)).check(PIXELS)
        assert len(warned) == (given_scale != right)
        assert all(f"--input-scale {right}" in warning for warning in warned)


def test_images_of_another_exposure_are_no_wrong_scale() -> None:
    network = opened(fitted(1 / 255), Unseen())
    assert not network.check(PIXELS // 4)
    assert not network.check(PIXELS[:1])


def test_pieces_do_not_change_what_is_told(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    network = open_network(save(reports_network().state_dict()), Unseen())
    whole = network.probabilities(PIXELS)
    monkeypatch.setattr("hpo.weights.network.EVALUATION_PIXELS", 3 * SIDE**2)
    np.testing.assert_allclose(network.probabilities(PIXELS), whole, rtol=1e-6)
