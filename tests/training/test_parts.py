"""The parts of the stacked engine, each against torch's own in float64."""

from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hpo.config import Activation, Loss, Optimizer, TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.device import Device, one_thread
from hpo.training.image_losses import Softness, image_losses
from hpo.training.lane import Lane, export_weights, open_lane
from hpo.training.lane_data import Images
from hpo.training.layers import Rows, backward, evaluate, forward
from hpo.training.layout import PACKET, Layout, Scratch, empty_rows, layout_of
from hpo.training.losses import mean_loss
from hpo.training.model import ACTIVATIONS
from hpo.training.optimizers import Step, open_moments, update
from hpo.training.progress import note_epoch
from hpo.training.stack import run_epoch
from tests.training.oracle import OPTIMIZERS

BASE = TrainingConfig(
    image_size=16, hidden=(12, 7, 33), dropout=0.2, batch_size=16, learning_rate=0.01
)
CPU = torch.device("cpu")
N_LANES, N_IMAGES = 3, 10


def randn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("hidden", [(1,), (7, 33), (32, 64), (12, 7, 33)])
def test_slots_lie_apart_and_at_whole_packets(hidden: tuple[int, ...], batch_norm: bool) -> None:
    layout = layout_of(BASE.replace(hidden=hidden, batch_norm=batch_norm))
    places = sorted((slot.place.start, slot.place.stop) for slot in layout.slots())
    assert all(stop <= start for (_, stop), (start, _) in pairwise(places))
    assert places[0][0] == 0
    assert places[-1][1] <= layout.size
    assert all(start % PACKET == 0 for start, _ in places)
    assert layout.size % PACKET == 0


@pytest.mark.parametrize("batch_norm", [True, False])
def test_units_of_hidden_layers_lie_apart(batch_norm: bool) -> None:
    layout = layout_of(BASE.replace(batch_norm=batch_norm))
    units = [layout.units(layer) for layer in range(3)]
    assert [(s.start, s.stop) for s in units] == [(0, 32), (32, 64), (64, 128)]
    assert layout.n_units == 128


def test_what_is_written_to_a_slot_changes_no_other() -> None:
    layout = layout_of(BASE)
    rows = empty_rows(2, layout, randn(1))
    for number, slot in enumerate(layout.slots(), start=1):
        slot.used(rows[1]).fill_(number)
    for number, slot in enumerate(layout.slots(), start=1):
        assert slot.used(rows[1]).shape == slot.shape
        assert (slot.used(rows[1]) == number).all()
        assert slot.of(rows)[1].sum() == number * np.prod(slot.shape)
    assert (rows[0] == 0).all()


@pytest.fixture
def lanes(data: TrainingData, device: Device) -> list[Lane]:
    """Lanes of one kind that fill their widths up, after two epochs."""
    fields: list[dict[str, Any]] = [
        {"optimizer": "sgd", "weight_decay": 0.01},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "rmsprop", "dropout": 0.0},
    ]
    config = BASE.replace(activation="sigmoid")
    images = Images(data, device).place(config, 1)
    opened = [open_lane(config.replace(**some), images, seed=3, device=device) for some in fields]
    for _ in range(2):
        with one_thread():
            measured = run_epoch(opened, Scratch(CPU))
        for lane, metrics in zip(opened, measured, strict=True):
            note_epoch(lane.progress, metrics)
    return opened


def test_what_fills_up_is_zero_after_training(lanes: list[Lane]) -> None:
    for lane in lanes:
        row, outside = lane.parameters.row[0], lane.parameters.row[0].clone()
        for slot in lane.layout.slots():
            slot.used(outside).zero_()
        assert row.abs().sum() > 1
        assert (outside == 0).all()


def test_lanes_export_all_that_they_have_learned(lanes: list[Lane]) -> None:
    for lane in lanes:
        weights = export_weights(lane)
        total = sum(np.abs(weights[slot.name]).sum() for slot in lane.layout.slots())
        assert total == pytest.approx(float(lane.parameters.row.abs().sum()), rel=1e-5)
        assert np.array_equal(weights["1.weight"], lane.parameters.first.numpy())


def test_first_weights_are_those_of_linear_layers(data: TrainingData, cpu: Device) -> None:
    config = BASE.replace(image_size=12, batch_norm=False, hidden=(144, 144), dropout=0.0)
    lane = open_lane(config, Images(data, cpu).place(config, 0), seed=4, device=cpu)
    drawn = {slot.name: slot.used(lane.parameters.row[0]) for slot in lane.layout.slots()}
    first, second = lane.parameters.first.flatten(), drawn["4.weight"].flatten()
    for weights, bias in ((first, drawn["1.bias"]), (second, drawn["4.bias"])):
        both = torch.cat([weights, bias])
        assert both.abs().max() <= 1 / 12
        # The deviation of a uniform distribution, within five standard errors.
        assert both.std() == pytest.approx(1 / 12 / 3**0.5, rel=5 * len(both) ** -0.5)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / 144


@pytest.mark.parametrize("spread", [0.5, 30.0])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("loss", get_args(Loss))
def test_the_losses_of_images_have_the_mean_and_the_gradient_of_the_loss(
    loss: str, outputs: int, spread: float
) -> None:
    smoothing, gamma = torch.tensor([[0.0, 0.1, 0.3], [0.0, 1.0, 2.5]]).double()
    labels = torch.arange(N_LANES * N_IMAGES).view(N_LANES, N_IMAGES) % 3 == 0
    logits = (spread * randn(N_LANES, N_IMAGES, outputs)).requires_grad_()
    softness = Softness(smoothing[:, None], gamma[:, None])
    found = image_losses(loss, logits, labels.double(), softness)
    for lane in range(N_LANES):
        config = BASE.replace(
            loss=loss,
            outputs=outputs,
            label_smoothing=float(smoothing[lane]),
            focal_gamma=float(gamma[lane]),
        )
        mean = found[lane].mean()
        expected = mean_loss(config, logits[lane], labels[lane].long())
        torch.testing.assert_close(mean, expected, rtol=1e-12, atol=1e-14)
        (gradient,) = torch.autograd.grad(mean, logits, retain_graph=True)
        (expected_gradient,) = torch.autograd.grad(expected, logits)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weight_decay", [0.0, 0.02])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_updates_step_as_torchs_optimizers(
    optimizer: str, momentum: float, weight_decay: float
) -> None:
    config = BASE.replace(optimizer=optimizer, momentum=momentum, weight_decay=weight_decay)
    parameters = [randn(5, 9), randn(PACKET, seed=1)]
    twins = [nn.Parameter(parameter.clone()) for parameter in parameters]
    moments, expected = open_moments(config, parameters), OPTIMIZERS[optimizer](twins, config)
    for n, rate in enumerate([0.01, 0.01, 0.1, 0.001, 0.001]):
        gradients = [randn(*p.shape, seed=10 + 2 * n + i) for i, p in enumerate(parameters)]
        for twin, gradient in zip(twins, gradients, strict=True):
            twin.grad = gradient.clone()
        expected.param_groups[0]["lr"] = rate
        expected.step()
        update(
            config,
            moments,
            Step(
                parameters=parameters,
                gradients=gradients,
                learning_rate=rate,
                scratch=Scratch(CPU),
            ),
        )
        for parameter, twin in zip(parameters, twins, strict=True):
            torch.testing.assert_close(parameter, twin.detach(), rtol=1e-12, atol=1e-12)


def open_rows(config: TrainingConfig) -> Rows:
    """Return rows of random parameters; what fills up is zero."""
    layout, like = layout_of(config), randn(1)
    rows = empty_rows(N_LANES, layout, like)
    for number, slot in enumerate(layout.slots()):
        for lane in range(N_LANES):
            slot.used(rows[lane]).copy_(randn(*slot.shape, seed=10 * number + lane))
    statistics = torch.zeros(N_LANES, 2, layout.n_units, dtype=like.dtype)
    statistics[:, 1] = 1
    return Rows(
        layout=layout,
        activation=config.activation,
        parameters=rows,
        gradients=torch.zeros_like(rows),
        statistics=statistics,
    )


class Times(nn.Module):
    """Multiplies by what is handed in; passes on as it is without."""

    factor: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        return x if self.factor is None else x * self.factor


class Shift(nn.Module):
    """Adds a bias: what is left of a Linear whose product was made before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


def open_twin(config: TrainingConfig, rows: Rows, lane: int) -> nn.Sequential:
    """Return one lane's network behind the first product, as torch has it, in float64."""
    modules: list[nn.Module] = []
    for before, width in pairwise((0, *config.hidden)):
        if before:
            modules.append(nn.Linear(before, width, bias=not config.batch_norm))
        elif not config.batch_norm:
            modules.append(Shift(width))
        if config.batch_norm:
            modules.append(nn.BatchNorm1d(width))
        modules += [ACTIVATIONS[config.activation](), Times()]
    twin = nn.Sequential(*modules, nn.Linear(config.hidden[-1], config.n_outputs)).double()
    for parameter, slot in zip(twin.parameters(), rows.layout.slots(), strict=True):
        parameter.data.copy_(slot.used(rows.parameters[lane]))
    return twin


def draw_masks(layout: Layout) -> list[Tensor | None]:
    """Return factors of 0 and 2 for each unit, 0 for those that fill up."""
    masks: list[Tensor | None] = []
    for layer, (width, units) in enumerate(zip(layout.widths, layout.filled, strict=True)):
        mask = torch.zeros(N_LANES, N_IMAGES, units, dtype=torch.float64)
        mask[..., :width] = 2.0 * (randn(N_LANES, N_IMAGES, width, seed=90 + layer) > 0)
        masks.append(mask)
    return masks


def draw_product(layout: Layout) -> Tensor:
    """Return products with the first weights; those of units that fill up are 0."""
    drawn = torch.zeros(N_LANES, N_IMAGES, layout.filled[0], dtype=torch.float64)
    drawn[..., : layout.widths[0]] = randn(N_LANES, N_IMAGES, layout.widths[0], seed=80)
    return drawn


def configurations() -> Iterator[TrainingConfig]:
    for activation, batch_norm in product(get_args(Activation), [True, False]):
        yield BASE.replace(activation=activation, batch_norm=batch_norm, loss="ce")


def name(config: TrainingConfig) -> str:
    return f"{config.activation}, {'' if config.batch_norm else 'no '}batch norm"


def assert_equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("config", list(configurations()), ids=name)
def test_layers_go_forward_and_backward_as_torchs(config: TrainingConfig) -> None:
    rows = open_rows(config)
    masks, inputs = draw_masks(rows.layout), draw_product(rows.layout)
    outer = randn(N_LANES, N_IMAGES, config.n_outputs, seed=70)
    logits, traces, last = forward(rows, inputs, masks)
    delta = backward(rows, outer, traces, last)
    width = config.hidden[0]
    assert (delta[..., width:] == 0).all()
    for lane in range(N_LANES):
        twin = open_twin(config, rows, lane)
        for times, mask, units in zip(
            [m for m in twin if isinstance(m, Times)], masks, config.hidden, strict=True
        ):
            times.factor = mask[lane, :, :units]
        leaf = inputs[lane, :, :width].clone().requires_grad_()
        expected = twin(leaf)
        expected.backward(outer[lane])
        assert_equal(logits[lane], expected.detach())
        assert_equal(delta[lane, :, :width], leaf.grad)
        check_gradients(rows, lane, twin)
        check_statistics(rows, lane, twin)


def check_gradients(rows: Rows, lane: int, twin: nn.Sequential) -> None:
    outside = rows.gradients[lane].clone()
    for parameter, slot in zip(twin.parameters(), rows.layout.slots(), strict=True):
        assert_equal(slot.used(rows.gradients[lane]), parameter.grad)
        slot.used(outside).zero_()
    assert (outside == 0).all()


def check_statistics(rows: Rows, lane: int, twin: nn.Sequential) -> None:
    norms = [module for module in twin if isinstance(module, nn.BatchNorm1d)]
    for layer, norm in enumerate(norms):
        mean, variance = rows.statistics[lane, :, rows.layout.units(layer)]
        assert_equal(mean[: norm.num_features], norm.running_mean)
        assert_equal(variance[: norm.num_features], norm.running_var)


@pytest.mark.parametrize("config", list(configurations()), ids=name)
def test_evaluation_uses_running_statistics_and_no_dropout(config: TrainingConfig) -> None:
    rows = open_rows(config)
    inputs = draw_product(rows.layout)
    forward(rows, 3 * inputs + 1, draw_masks(rows.layout))
    before = rows.statistics.clone()
    logits = evaluate(rows, inputs)
    assert torch.equal(rows.statistics, before)
    for lane in range(N_LANES):
        twin = open_twin(config, rows, lane)
        for layer, norm in enumerate(m for m in twin if isinstance(m, nn.BatchNorm1d)):
            mean, variance = rows.statistics[lane, :, rows.layout.units(layer)]
            norm.running_mean.copy_(mean[: norm.num_features])
            norm.running_var.copy_(variance[: norm.num_features])
        assert_equal(logits[lane], twin.eval()(inputs[lane, :, : config.hidden[0]]).detach())


def test_scratch_gives_the_same_memory_again_as_long_as_it_is_large_enough() -> None:
    scratch = Scratch(CPU)
    large = scratch.take("a", (4, 6), torch.float32)
    small = scratch.take("a", (5, 2), torch.float32)
    assert large.shape == (4, 6)
    assert small.shape == (5, 2)
    assert small.is_contiguous()
    assert small.data_ptr() == large.data_ptr()
    assert scratch.take("a", (5, 6), torch.float32).shape == (5, 6)


def test_scratch_keeps_names_and_types_apart() -> None:
    scratch = Scratch(CPU)
    ones = scratch.take("a", (8,), torch.float32).fill_(1)
    scratch.take("b", (8,), torch.float32).fill_(2)
    scratch.take("a", (8,), torch.float64).fill_(3)
    assert (ones == 1).all()


def test_scratch_that_is_cleared_holds_nothing() -> None:
    scratch = Scratch(CPU)
    old = scratch.take("a", (8,), torch.float32).fill_(1)
    scratch.clear()
    scratch.take("a", (8,), torch.float32).fill_(2)
    assert (old == 1).all()
