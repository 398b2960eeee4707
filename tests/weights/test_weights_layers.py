"""From keys to layers, and what is said of tensors that belong to none."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hpo.errors import WeightsError
from hpo.weights.files import StateDict
from hpo.weights.layers import BatchNorm, Linear, read_layers
from tests.weights.conftest import reports_network, sequential

STATE = reports_network().state_dict()


def state(tensors: dict[str, Tensor]) -> StateDict:
    return StateDict(path=Path("weights.pt"), tensors=tensors)


def refusal(tensors: dict[str, Tensor]) -> str:
    with pytest.raises(WeightsError) as caught:
        read_layers(state(tensors))
    assert "weights.pt" in str(caught.value)
    return str(caught.value)


def without(*keys: str) -> dict[str, Tensor]:
    return {key: value for key, value in STATE.items() if key not in keys}


def test_layers_come_in_the_order_of_their_numbers_not_of_their_names() -> None:
    wide = sequential(*[nn.Linear(4, 4) for _ in range(12)]).state_dict()
    shuffled = dict(sorted(wide.items(), reverse=True))
    keys = [layer.key for layer in read_layers(state(shuffled)).layers]
    assert keys == [str(number) for number in range(12)]


@pytest.mark.parametrize("prefix", ["", "module.", "net.", "module._orig_mod.net."])
def test_a_prefix_is_left_out_and_told(prefix: str) -> None:
    found = read_layers(state({f"{prefix}{key}": value for key, value in STATE.items()}))
    assert found.prefix == prefix
    assert [type(layer) for layer in found.layers] == [Linear, BatchNorm] * 2 + [Linear]


def test_half_precision_becomes_float32_and_a_norm_without_weights_is_read() -> None:
    network = sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3, affine=False)).half()
    linear, norm = read_layers(state(network.state_dict())).layers
    assert isinstance(linear, Linear)
    assert isinstance(norm, BatchNorm)
    assert linear.weight.dtype == torch.float32
    assert linear.bias is None
    assert norm.weight is None


def test_convolutions_are_named_with_key_and_shape() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 1))
    assert "0.weight (4, 1, 3, 3): 4 dimensions, a Conv2d" in refusal(network.state_dict())


def test_every_fault_is_told_at_once() -> None:
    tensors = without("1.weight", "6.running_var")
    tensors["9.bias"] = torch.zeros(7)
    text = refusal(tensors)
    assert "1.bias (6,), but 1.weight is missing" in text
    assert "6.running_var is missing" in text
    assert "9.weight (1, 5), 9.bias (7,): bias and weight do not fit" in text


@pytest.mark.parametrize(
    ("number", "module", "words"),
    [
        (2, nn.LayerNorm(6), "2.running_mean and 2.running_var are missing"),
        (3, nn.PReLU(), "3.weight (1,): of a LayerNorm or PReLU"),
        (3, nn.LSTM(4, 2), "3.weight_ih_l0 (8, 4)"),
        (3, nn.MultiheadAttention(4, 2), "not those of one nn.Sequential"),
    ],
)
def test_other_modules_are_named(number: int, module: nn.Module, words: str) -> None:
    tensors = without("2.running_mean", "2.running_var", "2.num_batches_tracked")
    tensors |= {f"{number}.{key}": value for key, value in module.state_dict().items()}
    assert words in refusal(tensors)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("2.running_mean", torch.zeros(5), "vectors of one length"),
        ("2.running_var", -torch.ones(6), "negative variances"),
        ("5.weight", torch.full((5, 6), torch.nan), "not finite"),
        ("5.weight", torch.zeros(5, 6, dtype=torch.int8), "torch.int8, no floats"),
    ],
)
def test_values_that_make_no_layer_are_refused(key: str, value: Tensor, words: str) -> None:
    text = refusal(STATE | {key: value})
    assert key in text
    assert words in text


@pytest.mark.parametrize(
    "keys",
    [
        ("fc1.weight", "fc2.weight"),
        ("features.0.weight", "classifier.0.weight"),
        ("weight", "bias"),
    ],
)
def test_keys_of_anything_but_one_sequential_are_refused_with_the_way_out(
    keys: tuple[str, ...],
) -> None:
    text = refusal({key: torch.zeros(4, 4) for key in keys})
    assert keys[0] in text
    assert "one nn.Sequential" in text
