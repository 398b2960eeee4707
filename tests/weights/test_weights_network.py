"""From keys and shapes to a network that answers as the nn.Sequential it was saved from."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hpo.choices import Activation
from hpo.data import Pixels
from hpo.errors import WeightsError
from hpo.training.model import ACTIVATIONS
from hpo.weights import Network, Unseen, open_network
from tests.weights.conftest import SIDE, reports_network, sequential

PIXELS: Pixels = np.random.default_rng(0).integers(0, 256, (40, SIDE, SIDE), dtype=np.uint8)
UNIT = torch.from_numpy(PIXELS).float() / 255
RAW = torch.from_numpy(PIXELS).float()
STATE = reports_network().state_dict()


def opened(network: nn.Module | dict[str, Tensor], unseen: Unseen | None = None) -> Network:
    state = network.state_dict() if isinstance(network, nn.Module) else network
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pt"
        torch.save(state, path)
        return open_network(path, unseen or Unseen())


@torch.no_grad()
def outputs(network: nn.Sequential, images: Tensor) -> np.ndarray:
    return network(images).double().numpy()


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Sequential, Activation]:
    """Draw an order of modules that numbers can show."""
    activation: Activation = draw(st.sampled_from(get_args(Activation)))
    modules: list[nn.Module] = [nn.Flatten()]
    n_inputs = SIDE**2
    for width in draw(st.lists(st.integers(1, 9), max_size=4)):
        modules.append(nn.Linear(n_inputs, width, bias=draw(st.booleans())))
        act, norm = ACTIVATIONS[activation](), nn.BatchNorm1d(width, affine=draw(st.booleans()))
        modules += draw(st.sampled_from([[act], [norm, act], [act, norm], [norm], []]))
        if isinstance(modules[-1], ACTIVATIONS[activation]) and draw(st.booleans()):
            modules.append(nn.Dropout(0.5))
        n_inputs = width
    modules.append(nn.Linear(n_inputs, draw(st.integers(1, 2))))
    return sequential(*modules, seed=draw(st.integers(0, 5))), activation


@settings(max_examples=25)
@given(networks(), st.sampled_from(["", "module.", "net.", "module._orig_mod.net."]))
def test_it_gives_what_the_sequential_gives(
    drawn: tuple[nn.Sequential, Activation], prefix: str
) -> None:
    network, activation = drawn
    state = {f"{prefix}{k}": v for k, v in sorted(network.state_dict().items(), reverse=True)}
    found = opened(state, Unseen(activation=activation))
    z = outputs(network, UNIT)
    log_odds = z[:, 0] if z.shape[1] == 1 else z[:, 1] - z[:, 0]
    wanted = 1 / (1 + np.exp(-log_odds))
    np.testing.assert_allclose(found.probabilities(PIXELS), wanted, rtol=1e-4, atol=1e-6)
    assert (f"Every key begins with {prefix}: this prefix is ignored." in found.notes) == bool(
        prefix
    )


HIDDEN, NORM, ACT, LAST = nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1)


@pytest.mark.parametrize(
    ("modules", "text", "note"),
    [
        (
            list(reports_network(n_outputs=2)),
            "Flatten -> Linear(64, 6) -> BatchNorm1d(6) -> relu -> Linear(6, 5) -> "
            "BatchNorm1d(5) -> relu -> Linear(5, 2)",
            "Activation: relu, after modules 2, 6. Weights do not store which one.",
        ),
        ([HIDDEN, ACT, NORM, LAST], "relu -> BatchNorm1d(6)", "relu, after module 0"),
        ([HIDDEN, ACT, NORM, nn.Dropout(), LAST], "relu -> BatchNorm1d", "relu, after module 0"),
        ([HIDDEN, NORM, LAST], "(64, 6) -> BatchNorm1d(6) -> Linear(6, 1)", "Input: "),
        (
            [nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(), nn.Linear(64, 1)],
            "Flatten -> BatchNorm1d(64) -> Linear(64, 1)",
            "Input: pixels / 255",
        ),
    ],
)
def test_what_the_numbers_show_is_found_and_the_rest_is_said(
    modules: list[nn.Module], text: str, note: str
) -> None:
    network = opened(sequential(*modules))
    assert text in network.text
    assert network.side == SIDE
    assert any(note in one for one in network.notes)


def test_what_was_assumed_is_said() -> None:
    unseen = Unseen(input_scale="raw", activation="gelu", has_sigmoid=True)
    notes = " ".join(opened(reports_network(), unseen).notes)
    for said in ("Activation: gelu", "pixels 0..255 (--input-scale raw)", "a second sigmoid"):
        assert said in notes


def test_half_precision_becomes_float32() -> None:
    network = sequential(nn.Linear(64, 3, bias=False), nn.BatchNorm1d(3), nn.Linear(3, 1)).half()
    assert {p.dtype for p in opened(network).model.parameters()} == {torch.float32}


def without(*keys: str) -> dict[str, Tensor]:
    return {key: value for key, value in STATE.items() if not key.startswith(keys)}


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Sequential(nn.Linear(60, 1)), ["0.weight (1, 60) takes 60 values: supported are"]),
        (nn.Sequential(nn.Linear(9, 1)), ["8 x 8 to 1024 x 1024 pixels"]),
        (
            nn.Sequential(nn.Linear(64, 101)),
            ["0.weight (101, 64) is the last and gives 101 values"],
        ),
        (
            nn.Sequential(nn.Linear(64, 5), nn.BatchNorm1d(5)),
            [
                "1.weight (5,) is the last",
                "supported is a Linear with 1 output, or one for each of 2 to 100 classes",
            ],
        ),
        (
            nn.Sequential(nn.Linear(64, 5), nn.ReLU(), nn.Linear(6, 1)),
            ["2.weight (1, 6) takes 6 values, but 0.weight (5, 64) before it gives 5"],
        ),
        (
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(4, 1)),
            ["0.weight (4, 1, 3, 3), 0.bias (4,): of no Linear"],
        ),
        # Every fault is said at once.
        (
            without("1.weight", "6.running_var") | {"9.bias": torch.zeros(7)},
            [
                "1.bias (6,): of no Linear",
                'Missing key(s) in state_dict: "running_var"',
                "9.weight (1, 5), 9.bias (7,): size mismatch for bias",
            ],
        ),
        (
            without("2.running", "2.num"),
            ["nor of a BatchNorm1d with running_mean and running_var"],
        ),
        (STATE | {"3.weight_ih_l0": torch.zeros(8, 4)}, ["3.weight_ih_l0 (8, 4)"]),
        (STATE | {"3.out_proj.bias": torch.zeros(4)}, ["not those of one nn.Sequential"]),
        ({"a.0.weight": torch.zeros(4, 4), "b.0.weight": LAST.weight}, ["one nn.Sequential"]),
        (STATE | {"5.weight": torch.full((5, 6), torch.nan)}, ["5.weight", "not finite"]),
        (STATE | {"5.weight": torch.zeros(5, 6, dtype=torch.int8)}, ["torch.int8, no floats"]),
        (STATE | {"5.weight": torch.zeros(0, 6)}, ["5.weight (0, 6)"]),
        (STATE | {"5.weight_g": torch.zeros(5)}, ["5.weight_g", "Unexpected key(s)"]),
    ],
)
def test_tensors_that_make_no_network_are_named_with_key_and_shape(
    network: nn.Module | dict[str, Tensor], words: list[str]
) -> None:
    with pytest.raises(WeightsError, match=r"weights\.pt") as refused:
        opened(network)
    assert all(text in str(refused.value) for text in words), refused.value


def test_raw_pixels_and_the_argmax_of_two_outputs_as_in_report_d() -> None:
    network = reports_network(n_outputs=2)
    found = opened(network, Unseen(input_scale="raw")).probabilities(PIXELS)
    z = outputs(network, RAW)
    assert 0 < z.argmax(1).sum() < len(z)
    np.testing.assert_array_equal(found > 0.5, z.argmax(1) == 1)
    with torch.no_grad():
        network[9].weight.zero_()
        network[9].bias.zero_()
    assert (opened(network).probabilities(PIXELS) == 0.5).all()  # Equal outputs mean normal.


@pytest.mark.parametrize(
    ("scale", "values"),
    [
        ("symmetric", UNIT * 2 - 1),
        ("0.449,0.226", (UNIT - 0.449) / 0.226),
        ("image", (RAW - RAW.mean((1, 2), keepdim=True)) / RAW.std((1, 2), keepdim=True)),
    ],
)
def test_inputs_are_scaled_as_the_script_did(scale: str, values: torch.Tensor) -> None:
    network = reports_network()
    found = opened(network, Unseen(input_scale=scale)).probabilities(PIXELS)
    wanted = 1 / (1 + np.exp(-outputs(network, values)[:, 0]))
    # An image is centered on its mean as a whole gray level, and the deviation is that of all.
    np.testing.assert_allclose(found, wanted, atol=0.1 if scale == "image" else 1e-5)


def test_a_second_sigmoid_keeps_probabilities_above_one_half_as_in_report_a() -> None:
    once = opened(reports_network())
    twice = opened(reports_network(), Unseen(has_sigmoid=True))
    assert twice.text.endswith("Linear(5, 1) -> Sigmoid")
    found = twice.probabilities(PIXELS)
    assert 0.5 < found.min() < found.max() < 0.7311
    order = np.argsort(once.probabilities(PIXELS))
    assert (np.diff(found[order]) >= 0).all()


def test_pieces_do_not_change_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    network = opened(reports_network())
    whole = network.probabilities(PIXELS)
    monkeypatch.setattr("hpo.weights.network.EVALUATION_PIXELS", 3 * SIDE**2)
    np.testing.assert_allclose(network.probabilities(PIXELS), whole, rtol=1e-6)
