"""A lane of a stack computes bit for bit what it computes alone."""

import random
from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
import pytest
import torch

from hpo.config import Activation, Loss, Optimizer, Scheduler, TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import stack as engine
from hpo.training.device import Device
from hpo.training.engine import EpochMetrics, TrainingResult
from hpo.training.lane import Lane
from hpo.training.layout import Scratch
from hpo.training.stack import open_stack
from tests.training.together import (
    FOLD_SIZES,
    Job,
    add,
    assert_bitwise_equal,
    train_alone,
    train_together,
    uneven_data,
)

BASE = TrainingConfig(
    image_size=16,
    hidden=(12, 7),
    dropout=(0.3, 0.1),
    batch_size=16,
    epochs=3,
    learning_rate=0.01,
)
SHAPES = ((12, 8), (64, 64), (33, 40, 7), (7,), (16,), (32, 12))
DIVERGING = BASE.replace(
    batch_norm=False,
    activation="leaky_relu",
    optimizer="sgd",
    learning_rate=10.0,
    normalize="none",
    epochs=6,
)


@pytest.fixture(scope="module")
def uneven(make_data: Callable[[int, int], TrainingData]) -> TrainingData:
    return uneven_data(make_data)


def draw_kind(rng: random.Random) -> TrainingConfig:
    """Draw all that the lanes of a cohort have in common."""
    hidden = rng.choice(SHAPES)
    return BASE.replace(
        image_size=rng.choice([16, 16, 9]),
        batch_size=rng.choice([16, 16, 27]),
        hidden=hidden,
        dropout=0.5,
        batch_norm=rng.random() < 0.7,
        activation=rng.choice(get_args(Activation)),
        loss=rng.choice(get_args(Loss)),
        outputs=rng.choice([0, 1, 2]),
    )


def draw_job(rng: random.Random, kind: TrainingConfig) -> Job:
    """Draw all that lanes of a cohort may differ in."""
    config = kind.replace(
        learning_rate=10 ** rng.uniform(-4, -1),
        dropout=[rng.choice([0.0, 0.3, 0.5]) for _ in kind.hidden],
        optimizer=rng.choice(get_args(Optimizer)),
        momentum=rng.choice([0.0, 0.9]),
        weight_decay=rng.choice([0.0, 0.01]),
        scheduler=rng.choice(get_args(Scheduler)),
        step_size=1,
        milestones=(1, 3),
        label_smoothing=rng.choice([0.0, 0.1]),
        focal_gamma=rng.choice([0.0, 2.0]),
        normalize=rng.choice(["unit", "image", "none"]),
        augment_pose=rng.choice([0.0, 0.0, 0.1]),
        augment_stretch=rng.choice([0.0, 0.0, 0.2]),
        augment_exposure=rng.choice([0.0, 0.0, 0.2]),
        augment_flip=rng.random() < 0.3,
        epochs=rng.choice([2, 3, 4]),
        early_stopping=rng.choice([0, 0, 1]),
    )
    return Job(config, seed=rng.randrange(9), fold=rng.randrange(len(FOLD_SIZES)))


def train_in_turns(
    data: TrainingData, jobs: Sequence[Job], device: Device, rng: random.Random
) -> list[tuple[Job, TrainingResult]]:
    """Keep five lanes busy; drop some in the middle, and put another job in every free place."""
    stack, waiting = open_stack(data, device=device), list(jobs)
    live: dict[int, Job] = {}
    finished = []
    while waiting or live:
        while waiting and len(live) < 5:
            job = waiting.pop()
            live[add(stack, job)] = job
        for lane, _, _ in stack.step():
            if lane not in stack.lanes:
                finished.append((live.pop(lane), stack.result(lane)))
            elif rng.random() < 0.07:
                stack.drop(lane)
                del live[lane]
    return finished


@pytest.mark.parametrize("seed", range(8))
def test_every_lane_computes_what_it_computes_alone(
    uneven: TrainingData, device: Device, seed: int
) -> None:
    check_scenario(uneven, device, seed)


def check_scenario(data: TrainingData, device: Device, seed: int) -> None:
    rng = random.Random(seed)
    jobs = [draw_job(rng, kind) for kind in (draw_kind(rng), draw_kind(rng)) for _ in range(4)]
    rng.shuffle(jobs)
    finished = train_in_turns(data, jobs, device, rng)
    assert finished
    for job, result in finished:
        assert_bitwise_equal(result, train_alone(data, job, device))


def note_cohorts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that fills with the size of every cohort that is trained."""
    sizes, run_epoch = [], engine.run_epoch

    def note(lanes: Sequence[Lane], scratch: Scratch) -> list[EpochMetrics]:
        sizes.append(len(lanes))
        return run_epoch(lanes, scratch)

    monkeypatch.setattr(engine, "run_epoch", note)
    return sizes


def test_lanes_that_share_a_network_train_in_one_cohort(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    sizes = note_cohorts(monkeypatch)
    stack = open_stack(data, device=cpu)
    for fields in ({}, {"learning_rate": 0.1}, {"optimizer": "sgd"}, {"hidden": [12, 6]}):
        add(stack, Job(BASE.replace(**fields)))
    stack.step()
    assert sizes == [3, 1]


def test_folds_of_different_sizes_share_a_cohort_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, uneven: TrainingData, device: Device
) -> None:
    jobs = [Job(BASE, seed=fold, fold=fold) for fold in range(len(FOLD_SIZES))]
    alone = [train_alone(uneven, job, device) for job in jobs]
    sizes = note_cohorts(monkeypatch)
    together = train_together(open_stack(uneven, device=device), jobs)
    assert sizes == [len(jobs)] * BASE.epochs
    for found, expected in zip(together, alone, strict=True):
        assert_bitwise_equal(found, expected)


def test_a_last_batch_of_one_image_is_left_out_of_the_lane_that_has_it(
    uneven: TrainingData, cpu: Device
) -> None:
    jobs = [Job(BASE.replace(epochs=1), fold=fold) for fold in range(2)]
    results = train_together(open_stack(uneven, device=cpu), jobs)
    for result in results:
        assert int(result.weights["2.num_batches_tracked"]) == 5
        n_right = result.epochs[0].train.accuracy * 80
        assert n_right == pytest.approx(round(n_right))


def test_the_order_in_which_lanes_are_added_does_not_matter(
    uneven: TrainingData, device: Device
) -> None:
    rng = random.Random(11)
    jobs = [draw_job(rng, BASE) for _ in range(5)]
    first = train_together(open_stack(uneven, device=device), jobs)
    second = train_together(open_stack(uneven, device=device), jobs[::-1])
    for one, other in zip(first, second[::-1], strict=True):
        assert_bitwise_equal(one, other)


def test_a_lane_that_loses_its_numbers_leaves_its_companions_alone(
    monkeypatch: pytest.MonkeyPatch, uneven: TrainingData, device: Device
) -> None:
    jobs = [Job(DIVERGING.replace(learning_rate=rate), fold=2) for rate in (1e-5, 10.0, 1e-6)]
    alone = [train_alone(uneven, job, device) for job in jobs]
    sizes = note_cohorts(monkeypatch)
    together = train_together(open_stack(uneven, device=device), jobs)
    assert set(sizes) == {3}
    is_finite = [np.isfinite(result.weights["1.weight"]).all() for result in together]
    assert is_finite == [True, False, True]
    for found, expected in zip(together, alone, strict=True):
        assert_bitwise_equal(found, expected)


def test_the_number_of_threads_outside_does_not_matter(
    uneven: TrainingData, device: Device
) -> None:
    # A product of few units and many pixels is split among threads and added up otherwise.
    config = BASE.replace(image_size=48, hidden=[7], dropout=0.2, batch_size=76, epochs=2)
    jobs = [Job(config, seed=seed, fold=seed) for seed in range(3)]
    results, n_threads = [], torch.get_num_threads()
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            results.append(train_together(open_stack(uneven, device=device), jobs))
            assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(n_threads)
    for again in results[1:]:
        for found, expected in zip(again, results[0], strict=True):
            assert_bitwise_equal(found, expected)


def test_a_lane_number_is_never_used_again(data: TrainingData, cpu: Device) -> None:
    stack = open_stack(data, device=cpu)
    first = add(stack, Job(BASE.replace(epochs=1)))
    stack.step()
    stack.result(first)
    second = add(stack, Job(BASE))
    stack.drop(second)
    assert stack.lanes == ()
    assert len({first, second, add(stack, Job(BASE))}) == 3


def test_a_dropped_lane_is_not_trained_any_further(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    sizes = note_cohorts(monkeypatch)
    stack = open_stack(data, device=cpu)
    dropped, kept = add(stack, Job(BASE)), add(stack, Job(BASE, seed=4))
    stack.step()
    stack.drop(dropped)
    assert stack.lanes == (kept,)
    assert [done.lane for done in stack.step()] == [kept]
    assert sizes == [2, 1]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("seed", range(4))
def test_every_lane_computes_on_a_gpu_what_it_computes_alone(
    uneven: TrainingData, cuda: Device, precision: str, seed: int
) -> None:
    check_scenario(uneven, Device(cuda.name, precision), seed)


@pytest.mark.gpu
def test_folds_of_different_sizes_share_a_cohort_bit_for_bit_on_a_gpu(
    uneven: TrainingData, cuda: Device
) -> None:
    jobs = [Job(BASE, seed=fold, fold=fold) for fold in range(len(FOLD_SIZES))]
    together = train_together(open_stack(uneven, device=cuda), jobs)
    for found, job in zip(together, jobs, strict=True):
        assert_bitwise_equal(found, train_alone(uneven, job, cuda))
