"""The network that shapes and numbers tell, and what is said where they do not."""

from pathlib import Path

import pytest
from torch import nn

from hpo.errors import WeightsError
from hpo.weights.architecture import Architecture, find_architecture
from hpo.weights.files import StateDict
from tests.weights.conftest import reports_network, sequential


def found(*modules: nn.Module) -> Architecture:
    return find(sequential(*modules))


def find(network: nn.Module) -> Architecture:
    state = StateDict(path=Path("weights.pt"), tensors=network.state_dict())
    return find_architecture(state, "relu")


def refusal(*modules: nn.Module) -> str:
    with pytest.raises(WeightsError) as caught:
        found(*modules)
    assert "weights.pt" in str(caught.value)
    return str(caught.value)


def test_the_network_of_the_reports_is_found() -> None:
    network = find(reports_network(n_outputs=2))
    assert network.text == (
        "Flatten -> Linear(64, 6) -> BatchNorm1d(6) -> relu -> Linear(6, 5) -> BatchNorm1d(5) -> "
        "relu -> Linear(5, 2)"
    )
    assert (network.side, network.n_outputs) == (8, 2)
    assert network.assumed == (
        "Before module 1: a module without weights, taken as Flatten.",
        "Activation: relu, behind modules 2 and 6. Weights do not tell which.",
    )


def test_a_prefix_is_said() -> None:
    network = find(nn.ModuleDict({"net": reports_network()}))
    assert network.assumed[0] == "Every key begins with net., which is left out."


def test_an_activation_in_front_of_batch_norm_shows_in_the_numbers() -> None:
    network = found(nn.Linear(64, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 1))
    assert network.text == ("Flatten -> Linear(64, 6) -> relu -> BatchNorm1d(6) -> Linear(6, 1)")
    assert not any("Flatten" in note for note in network.assumed)


def test_room_on_both_sides_of_batch_norm_is_said_to_be_unclear() -> None:
    network = found(nn.Linear(64, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 1))
    assert "relu -> BatchNorm1d" in network.text
    assert any("module 0 the activation may stand on either side" in n for n in network.assumed)


def test_no_room_for_an_activation_means_that_there_is_none() -> None:
    network = found(nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Linear(6, 1))
    assert "relu" not in network.text
    assert network.assumed == (
        "No activation behind module 1: the numbers leave no place for one.",
    )


def test_more_modules_than_an_activation_and_dropout_are_said() -> None:
    network = found(
        nn.Flatten(), nn.Dropout(), nn.Linear(64, 6),
        nn.ReLU(), nn.Dropout(), nn.Identity(), nn.Linear(6, 1),
    )  # fmt: skip
    assert "taken as Flatten and Dropout" in network.assumed[0]
    assert "Behind module 2 are more than two modules" in network.assumed[-1]


def test_the_input_alone_may_be_normalized() -> None:
    network = found(nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(), nn.Linear(64, 1))
    assert network.text == "Flatten -> BatchNorm1d(64) -> Linear(64, 1)"


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        ([nn.Linear(60, 1)], ["0.weight (1, 60)", "no square image"]),
        ([nn.Linear(3 * 32 * 32, 1)], ["3,072", "3 x 32 x 32 would be color images"]),
        ([nn.Linear(9, 1)], ["3 x 3 pixels", "from 8 to 1024"]),
        ([nn.Linear(64, 3)], ["0.weight (3, 64) gives 3 values", "1 output or 2"]),
        (
            [nn.Linear(64, 5), nn.ReLU(), nn.Linear(6, 1)],
            ["2.weight (1, 6) takes 6 values, but 0.weight (5, 64) before it gives 5"],
        ),
        (
            [nn.Linear(64, 5), nn.BatchNorm1d(6), nn.Linear(5, 1)],
            ["1.running_mean (6,) takes 6", "2.weight (1, 5) takes 5 values, but"],
        ),
        (
            [nn.Linear(64, 5), nn.BatchNorm1d(5)],
            ["1.running_mean (5,) is the last", "a Linear with 1 or 2 outputs is missing"],
        ),
    ],
)
def test_what_does_not_fit_is_said_with_key_and_shape(
    modules: list[nn.Module], words: list[str]
) -> None:
    text = refusal(*modules)
    for word in words:
        assert word in text
