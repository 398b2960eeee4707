"""Networks rebuilt from keys and shapes, which predict like the saved nn.Sequential."""

import re
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
from hpo.data.dataset import Pixels
from hpo.errors import WeightsError
from hpo.training.model import ACTIVATIONS
from hpo.weights.network import Network, Unseen, open_network
from tests.conftest import assert_snapshot
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
    """Draw an order of modules that the weights can show."""
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
def test_a_rebuilt_network_predicts_like_the_original(
    drawn: tuple[nn.Sequential, Activation], prefix: str
) -> None:
    network, activation = drawn
    state = {f"{prefix}{k}": v for k, v in sorted(network.state_dict().items(), reverse=True)}
    found = opened(state, Unseen(activation=activation))
    z = outputs(network, UNIT)
    log_odds = z[:, 0] if z.shape[1] == 1 else z[:, 1] - z[:, 0]
    wanted = 1 / (1 + np.exp(-log_odds))
    np.testing.assert_allclose(found.probabilities(PIXELS), wanted, rtol=1e-4, atol=1e-6)
    assert (f"Every key starts with {prefix}, which is ignored." in found.notes) == bool(prefix)


HIDDEN, NORM, ACT, LAST = nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1)


def test_a_rebuilt_network_is_described_with_its_assumptions() -> None:
    lines = []
    for modules in (
        list(reports_network(n_outputs=2)),
        [HIDDEN, ACT, NORM, LAST],
        [HIDDEN, ACT, NORM, nn.Dropout(), LAST],
        [HIDDEN, NORM, LAST],
        [nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(), nn.Linear(64, 1)],
    ):
        network = opened(sequential(*modules))
        assert network.side == SIDE
        lines += [network.text, *network.notes]
    unseen = Unseen(input_scale="raw", activation="gelu", has_sigmoid=True)
    assert_snapshot("networks", [*lines, *opened(reports_network(), unseen).notes])


def without(*keys: str) -> dict[str, Tensor]:
    return {key: value for key, value in STATE.items() if not key.startswith(keys)}


def test_tensors_that_form_no_network_are_listed_with_key_and_shape() -> None:
    lines: list[str] = []
    for network in (
        nn.Sequential(nn.Linear(60, 1)),
        nn.Sequential(nn.Linear(9, 1)),
        nn.Sequential(nn.Linear(64, 101)),
        nn.Sequential(nn.Linear(64, 5), nn.BatchNorm1d(5)),
        nn.Sequential(nn.Linear(64, 5), nn.ReLU(), nn.Linear(6, 1)),
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(4, 1)),
        # All faults are listed at once.
        without("1.weight", "6.running_var") | {"9.bias": torch.zeros(7)},
        without("2.running", "2.num"),
        STATE | {"3.out_proj.bias": torch.zeros(4)},
        {"a.0.weight": torch.zeros(4, 4), "b.0.weight": LAST.weight},
        STATE | {"5.weight": torch.full((5, 6), torch.nan)},
        STATE | {"5.weight": torch.zeros(5, 6, dtype=torch.int8)},
        STATE | {"5.weight_g": torch.zeros(5)},
    ):
        with pytest.raises(WeightsError) as refused:
            opened(network)
        lines += re.sub(r"\S+weights\.pt", "FILE", str(refused.value)).splitlines()
    assert_snapshot("no-networks", lines)


@pytest.mark.parametrize(
    ("scale", "values"),
    [
        ("symmetric", UNIT * 2 - 1),
        ("0.449,0.226", (UNIT - 0.449) / 0.226),
        ("image", (RAW - RAW.mean((1, 2), keepdim=True)) / RAW.std((1, 2), keepdim=True)),
    ],
)
def test_inputs_are_scaled_as_in_the_training_script(scale: str, values: torch.Tensor) -> None:
    network = reports_network()
    found = opened(network, Unseen(input_scale=scale)).probabilities(PIXELS)
    wanted = 1 / (1 + np.exp(-outputs(network, values)[:, 0]))
    # The mean is a whole gray level, and the deviation that of the population.
    np.testing.assert_allclose(found, wanted, atol=0.1 if scale == "image" else 1e-5)
