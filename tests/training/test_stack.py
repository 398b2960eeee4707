"""A stack through its seam: what it is given, what it returns, and when lanes leave."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.errors import TrainingError
from hpo.training import cohort
from hpo.training import stack as engine
from hpo.training.device import Device
from hpo.training.engine import LaneEpoch, Stack, TrainingResult
from hpo.training.losses import LOSSES
from hpo.training.model import plain_model, scale_pixels
from hpo.training.stack import open_stack
from tests.training.conftest import as_tensors

CONFIG = TrainingConfig(
    image_size=16, hidden=(12, 8), dropout=(0.3, 0.1), batch_size=16, epochs=4, learning_rate=0.01
)


def finish(stack: Stack, lane: int) -> TrainingResult:
    while lane in stack.lanes:
        stack.step()
    return stack.result(lane)


def train_alone(data: TrainingData, config: TrainingConfig, device: Device) -> TrainingResult:
    stack = open_stack(data, device=device)
    return finish(stack, stack.add(config, seed=3, fold=1))


def assert_bitwise_equal(first: TrainingResult, second: TrainingResult) -> None:
    assert first.epochs == second.epochs
    assert first.train == second.train
    assert np.array_equal(first.validation_probabilities, second.validation_probabilities)
    assert np.array_equal(first.test_probabilities, second.test_probabilities)
    for name, weight in first.weights.items():
        assert np.array_equal(weight, second.weights[name]), name


def test_training_learns(data: TrainingData, device: Device) -> None:
    result = train_alone(data, CONFIG.replace(epochs=12), device)
    assert result.epochs[-1].train.loss < 0.7 * result.epochs[0].train.loss
    assert result.train.accuracy >= 0.9
    assert result.epochs[-1].validation.auroc >= 0.9
    assert result.seconds > 0


def test_the_result_fits_the_data_and_the_last_epoch(data: TrainingData, device: Device) -> None:
    result = train_alone(data, CONFIG, device)
    assert len(result.epochs) == result.kept_epoch == CONFIG.epochs
    assert result.test_probabilities.shape == (data.n_test,)
    assert result.test_probabilities.dtype == np.float32
    labels = data.labels[data.fold(1).validation]
    is_right = (result.validation_probabilities > 0.5) == labels
    assert result.epochs[-1].validation.accuracy == is_right.mean()


def test_the_weights_give_the_probabilities_in_the_reports_own_network(
    data: TrainingData, device: Device
) -> None:
    result = train_alone(data, CONFIG, device)
    model = plain_model(CONFIG)
    model.load_state_dict(as_tensors(result.weights))
    pixels = torch.from_numpy(data.pixels_at(16)[-data.n_test :])
    scaled = scale_pixels(pixels.flatten(1), CONFIG.normalize).view(-1, 16, 16)
    with torch.no_grad():
        expected = model.eval()(scaled).sigmoid()[:, 0].numpy()
    np.testing.assert_allclose(result.test_probabilities, expected, atol=1e-5)


def test_epochs_count_from_one_and_a_finished_lane_leaves(data: TrainingData, cpu: Device) -> None:
    stack = open_stack(data, device=cpu)
    short = stack.add(CONFIG.replace(epochs=1), seed=0, fold=0)
    long = stack.add(CONFIG.replace(epochs=2), seed=0, fold=0)
    assert stack.lanes == (short, long)
    first, second = stack.step(), stack.step()
    assert [(done.lane, done.epoch) for done in first] == [(short, 1), (long, 1)]
    assert [(done.lane, done.epoch) for done in second] == [(long, 2)]
    assert stack.lanes == ()
    assert stack.step() == []


def test_a_lane_number_is_never_used_again(data: TrainingData, cpu: Device) -> None:
    stack = open_stack(data, device=cpu)
    first = stack.add(CONFIG, seed=0, fold=0)
    stack.drop(first)
    assert stack.lanes == ()
    assert stack.add(CONFIG, seed=0, fold=0) != first


def test_a_lane_computes_what_it_computes_alone(data: TrainingData, device: Device) -> None:
    alone = train_alone(data, CONFIG, device)
    torch.manual_seed(12345)
    train_alone(data, CONFIG.replace(hidden=[7, 7], optimizer="rmsprop", loss="ce"), device)
    torch.rand(100)
    stack = open_stack(data, device=device)
    stack.add(CONFIG.replace(batch_size=8, augment_pose=0.1), seed=9, fold=0)
    stack.add(CONFIG, seed=4, fold=1)
    stack.step()
    lane = stack.add(CONFIG, seed=3, fold=1)
    stack.add(CONFIG.replace(image_size=8), seed=3, fold=2)
    assert_bitwise_equal(finish(stack, lane), alone)


def test_the_number_of_threads_outside_does_not_matter(data: TrainingData, cpu: Device) -> None:
    alone, n_threads = train_alone(data, CONFIG, cpu), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        again = train_alone(data, CONFIG, cpu)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(n_threads)
    assert_bitwise_equal(again, alone)


def test_seed_and_fold_each_make_a_difference(data: TrainingData, cpu: Device) -> None:
    stack = open_stack(data, device=cpu)
    places = [(0, 0), (1, 0), (0, 1)]
    added = [stack.add(CONFIG, seed=seed, fold=fold) for seed, fold in places]
    results = [finish(stack, lane) for lane in added]
    for first, second in itertools.combinations(results, 2):
        assert not np.array_equal(first.weights["1.weight"], second.weights["1.weight"])


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_with_one_output_and_with_two(
    data: TrainingData, cpu: Device, loss: str, outputs: int
) -> None:
    config = CONFIG.replace(loss=loss, outputs=outputs, epochs=15, dropout=0.0)
    result = train_alone(data, config, cpu)
    assert result.epochs[-1].train.loss < result.epochs[0].train.loss
    assert result.epochs[-1].validation.auroc > 0.8
    assert result.weights["9.weight"].shape == (outputs, 8)


def test_images_of_the_last_smaller_batch_are_trained_on(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    assert batch_sizes(monkeypatch, data, cpu, batch_size=32) == [32, 32, 16]


def test_a_last_batch_of_one_image_is_not_trained_on(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    assert batch_sizes(monkeypatch, data, cpu, batch_size=79) == [79]
    assert batch_sizes(monkeypatch, data, cpu, batch_size=79, batch_norm=False) == [79]


def batch_sizes(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device, **fields: int | bool
) -> list[int]:
    """Return the sizes of the batches of one epoch."""
    return [len(images) for images in batches(monkeypatch, data, cpu, epochs=1, **fields)]


def batches(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device, **fields: int | bool
) -> list[list[int]]:
    """Return the images of every training step."""
    seen = []
    batch_pixels = cohort.batch_pixels

    def note_images(*arguments, images, **others):  # type: ignore[no-untyped-def]
        seen.append(images.tolist())
        return batch_pixels(*arguments, images=images, **others)

    with monkeypatch.context() as patch:
        patch.setattr(cohort, "batch_pixels", note_images)
        train_alone(data, CONFIG.replace(**fields), cpu)
    return seen[1:]  # The first is that of the network that warms up.


def test_an_epoch_takes_every_training_image_once_in_an_order_of_its_own(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    steps = batches(monkeypatch, data, cpu, epochs=2, batch_size=40)
    first, second = steps[0] + steps[1], steps[2] + steps[3]
    assert sorted(first) == sorted(second) == data.fold(1).train.tolist()
    assert first != second
    assert first != sorted(first)


def test_a_batch_larger_than_the_training_images_is_refused(
    data: TrainingData, cpu: Device
) -> None:
    stack = open_stack(data, device=cpu)
    with pytest.raises(TrainingError, match=r"batch_size 81 .* 80 training images .*Leave 81 out"):
        stack.add(CONFIG.replace(batch_size=81), seed=0, fold=0)
    assert stack.lanes == ()
    stack.add(CONFIG.replace(batch_size=80), seed=0, fold=0)


def test_a_diverging_training_is_reported_as_it_is(data: TrainingData, cpu: Device) -> None:
    config = CONFIG.replace(
        batch_norm=False,
        activation="leaky_relu",
        optimizer="sgd",
        learning_rate=10.0,
        normalize="none",
        epochs=8,
    )
    result = train_alone(data, config, cpu)
    assert not all(np.isfinite(epoch.train.loss) for epoch in result.epochs)
    assert len(result.epochs) == config.epochs


def losses_of(result: TrainingResult) -> list[float]:
    return [epoch.validation.loss for epoch in result.epochs]


def test_early_stopping_keeps_the_epoch_of_the_lowest_loss(
    data: TrainingData, device: Device
) -> None:
    config = CONFIG.replace(epochs=60, early_stopping=4, dropout=0.0)
    result = train_alone(data, config, device)
    losses = losses_of(result)
    assert len(losses) < 60
    assert result.kept_epoch == 1 + int(np.argmin(losses)) == len(losses) - 4
    until_then = train_alone(data, config.replace(epochs=result.kept_epoch), device)
    assert np.array_equal(result.weights["1.weight"], until_then.weights["1.weight"])
    assert np.array_equal(result.test_probabilities, until_then.test_probabilities)
    assert result.train == until_then.train


def test_early_stopping_without_any_finite_loss_ends_and_keeps_the_last(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    def lose_numbers(_lane, positions, _scratch):  # type: ignore[no-untyped-def]
        return torch.full((1 + len(positions),), torch.nan)

    monkeypatch.setattr(engine, "read_losses", lose_numbers)
    result = train_alone(data, CONFIG.replace(epochs=9, early_stopping=2), cpu)
    assert result.kept_epoch == len(result.epochs) == 2


def test_schedules_set_the_rate_of_every_epoch(data: TrainingData, cpu: Device) -> None:
    result = train_alone(data, CONFIG.replace(scheduler="step", step_size=2, gamma=0.5), cpu)
    assert [epoch.learning_rate for epoch in result.epochs] == [0.01, 0.01, 0.005, 0.005]


def test_plateau_follows_the_validation_loss(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    losses = itertools.chain([1.0, 0.9, 0.9, 0.9, 0.8], itertools.repeat(0.9))

    def give_losses(_lane, positions, _scratch):  # type: ignore[no-untyped-def]
        return torch.cat([torch.tensor([next(losses)]), torch.full((len(positions),), 0.5)])

    monkeypatch.setattr(engine, "read_losses", give_losses)
    config = CONFIG.replace(scheduler="plateau", step_size=1, gamma=0.5, epochs=8)
    rates = [epoch.learning_rate for epoch in train_alone(data, config, cpu).epochs]
    assert rates == [0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.005, 0.0025]


def test_pixels_are_shared_by_lanes_and_may_be_read_only(
    make_data: Callable[[int, int], TrainingData], cpu: Device
) -> None:
    data, n_asked = make_data(40, 30), 0

    def read_only(size: int) -> np.ndarray:
        nonlocal n_asked
        n_asked += 1
        pixels = data.pixels_at(size)
        pixels.flags.writeable = False
        return pixels

    sealed = TrainingData(
        fingerprint="x",
        labels=data.labels,
        n_test=data.n_test,
        pixels_at=read_only,
        fold=data.fold,
    )
    stack = open_stack(sealed, device=cpu)
    added = [stack.add(CONFIG, seed=seed, fold=0) for seed in range(3)]
    assert n_asked == 1
    assert finish(stack, added[0]).seconds > 0


def test_epoch_metrics_arrive_as_the_seam_says(data: TrainingData, cpu: Device) -> None:
    stack: Stack = open_stack(data, device=cpu)
    stack.add(CONFIG, seed=0, fold=0)
    [done] = stack.step()
    assert isinstance(done, LaneEpoch)
    assert 0 <= done.metrics.train.accuracy <= 1
    assert done.metrics.train.accuracy * 80 == pytest.approx(
        round(done.metrics.train.accuracy * 80)
    )
    assert done.metrics.validation.loss == pytest.approx(
        done.metrics.validation.log_loss, rel=1e-5
    )


@pytest.mark.gpu
def test_a_gpu_repeats_itself_bit_for_bit(data: TrainingData, cuda: Device) -> None:
    alone = train_alone(data, CONFIG, cuda)
    torch.manual_seed(12345)
    stack = open_stack(data, device=cuda)
    stack.add(CONFIG.replace(hidden=[7, 7]), seed=9, fold=0)
    assert_bitwise_equal(finish(stack, stack.add(CONFIG, seed=3, fold=1)), alone)


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu_after_an_epoch(
    data: TrainingData, cpu: Device, cuda: Device
) -> None:
    config = CONFIG.replace(epochs=1)
    here = train_alone(data, config, cpu)
    there = train_alone(data, config, Device(cuda.name, "fp32"))
    assert here.epochs[0].train.loss == pytest.approx(there.epochs[0].train.loss, rel=1e-3)
