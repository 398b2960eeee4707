"""A stack through its interface; each lane gives bitwise the same results as alone."""

import itertools
import random
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch

from hpo.choices import Activation, ClassWeight, Loss, Optimizer, Scheduler, ScoredWeights
from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import lane as lanes
from hpo.training import stack as engine
from hpo.training.device import Device
from hpo.training.engine import Epoch, TrainingResult
from hpo.training.lane import AnyLane
from hpo.training.stack import open_stack
from tests.training.conftest import Train
from tests.training.together import (
    Job,
    add,
    assert_bitwise_equal,
    make_data,
    train_alone,
    train_together,
)

CONFIG = TrainingConfig(
    image_size=16, hidden=(12, 8), dropout=(0.3, 0.1), batch_size=16, epochs=4, learning_rate=0.01
)
SHAPES = ((12, 8), (64, 64), (33, 40, 7), (7,), (16,), (32, 12))
DIVERGING = CONFIG.replace(
    batch_norm=False,
    activation="leaky_relu",
    optimizer="sgd",
    learning_rate=10.0,
    normalize="none",
    epochs=8,
)


def test_training_learns_and_its_result_fits_the_data(data: TrainingData, device: Device) -> None:
    config = CONFIG.replace(epochs=12)
    run = train_alone(data, Job(config), device).run
    assert len(run.epochs) == run.kept_epoch == 12
    assert run.epochs[-1].train["loss"] < 0.7 * run.epochs[0].train["loss"]
    assert run.train["accuracy"] >= 0.9
    assert run.epochs[-1].validation["auroc"] >= 0.9
    assert run.seconds > 0
    assert len(run.test_probabilities) == data.n_test
    labels = data.labels[data.fold(1).validation]
    is_right = (np.array(run.validation_probabilities) > 0.5) == labels
    assert run.epochs[-1].validation["accuracy"] == is_right.mean()
    assert run.validation_labels == tuple(labels)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the size of every trained cohort."""
    found, run_epoch = [], engine.run_epoch

    def note(lanes: Sequence[AnyLane]) -> list[Epoch]:
        found.append(len(lanes))
        return run_epoch(lanes)

    monkeypatch.setattr(engine, "run_epoch", note)
    return found


def test_finished_or_dropped_lanes_leave_and_numbers_are_not_reused(
    sizes: list[int], data: TrainingData, cpu: Device
) -> None:
    """A lane with another network is another cohort."""
    stack = open_stack(data, device=cpu)
    variants: tuple[dict[str, Any], ...] = ({"epochs": 1}, {}, {"optimizer": "sgd", "epochs": 2})
    short, dropped, long, other = (
        add(stack, Job(CONFIG.replace(**fields))) for fields in (*variants, {"hidden": [12, 6]})
    )
    assert stack.lanes == (short, dropped, long, other)
    first = stack.step()
    assert [(done.lane, done.epoch) for done in first] == [
        (lane, 1) for lane in (short, dropped, long, other)
    ]
    stack.drop(dropped)
    assert stack.lanes == (long, other)
    assert [(done.lane, done.epoch) for done in stack.step()] == [(long, 2), (other, 2)]
    assert sizes == [3, 1, 1, 1]
    assert first[2].metrics == stack.result(long).run.epochs[0]
    stack.drop(other)
    assert stack.lanes == ()
    assert stack.step() == []
    assert add(stack, Job(CONFIG)) > other


def test_seed_and_fold_each_make_a_difference(data: TrainingData, cpu: Device) -> None:
    jobs = [Job(CONFIG, seed, fold) for seed, fold in ((0, 0), (1, 0), (0, 1))]
    results = train_together(open_stack(data, device=cpu), jobs)
    for first, second in itertools.combinations(results, 2):
        assert not np.array_equal(first.weights["1.weight"], second.weights["1.weight"])


def test_early_stopping_without_a_finite_loss_keeps_the_last_epoch(
    monkeypatch: pytest.MonkeyPatch, train: Train
) -> None:
    monkeypatch.setattr(lanes, "read_losses", lambda _, __, n: torch.full((1 + len(n),), np.nan))
    result = train(CONFIG.replace(epochs=9, early_stopping=2))
    assert result.run.kept_epoch == len(result.run.epochs) == 2


def draw_jobs(rng: random.Random, n_classes: int) -> list[Job]:
    """Draw three jobs of each of two kinds, which differ in everything a cohort allows."""
    jobs = []
    for number in range(6):
        if number % 3 == 0:
            kind = CONFIG.replace(
                image_size=rng.choice([16, 16, 9]),
                batch_size=rng.choice([16, 16, 27]),
                hidden=rng.choice(SHAPES),
                dropout=0.5,
                batch_norm=rng.random() < 0.7,
                activation=rng.choice(get_args(Activation)),
                loss=rng.choice(get_args(Loss)),
                outputs=rng.choice([0, 1, 2]) if n_classes == 2 else n_classes,
            )
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
            weights=rng.choice(get_args(ScoredWeights)),
            class_weight=rng.choice(get_args(ClassWeight)),
        )
        jobs.append(Job(config, seed=rng.randrange(9), fold=rng.randrange(5)))
    rng.shuffle(jobs)
    return jobs


def train_in_turns(
    data: TrainingData, jobs: Sequence[Job], device: Device, rng: random.Random
) -> list[tuple[Job, TrainingResult]]:
    """Keep five lanes busy; drop some midway, and put another job in every free place."""
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


@pytest.mark.parametrize(("seed", "n_classes"), list(enumerate([2, 2, 3, 20])))
def test_every_lane_matches_training_alone(
    uneven: TrainingData, device: Device, seed: int, n_classes: int
) -> None:
    rng = random.Random(seed)
    if n_classes > 2:
        uneven = make_data(103, 81, 80, 77, 84, 83, n_classes=n_classes)
    finished = train_in_turns(uneven, draw_jobs(rng, n_classes), device, rng)
    assert finished
    torch.manual_seed(seed)  # The global generator plays no part.
    for job, result in finished:
        assert_bitwise_equal(result, train_alone(uneven, job, device))


def test_lanes_of_different_folds_match_training_alone_in_any_order(
    sizes: list[int], uneven: TrainingData, place: Device
) -> None:
    """One of them has a last batch of one image, which is left out."""
    jobs = [Job(CONFIG, seed=fold, fold=fold) for fold in (3, 0, 2, 4, 1)]
    together = train_together(open_stack(uneven, device=place), jobs)
    assert sizes == [5] * CONFIG.epochs
    for found, job in zip(together, jobs, strict=True):
        assert_bitwise_equal(found, train_alone(uneven, job, place))
        n_steps = {0: 5, 1: 5, 2: 5, 3: 6, 4: 6}[job.fold]
        assert found.weights["2.num_batches_tracked"] == n_steps * CONFIG.epochs


def test_a_diverging_lane_does_not_affect_the_others(uneven: TrainingData, place: Device) -> None:
    jobs = [Job(DIVERGING.replace(learning_rate=rate), fold=2) for rate in (1e-5, 10.0, 1e-6)]
    together = train_together(open_stack(uneven, device=place), jobs)
    is_finite = [np.isfinite(result.weights["1.weight"]).all() for result in together]
    assert is_finite == [True, False, True]
    assert len(together[1].run.epochs) == DIVERGING.epochs
    for found, job in zip(together, jobs, strict=True):
        assert_bitwise_equal(found, train_alone(uneven, job, place))


def test_the_global_number_of_threads_does_not_matter(uneven: TrainingData, cpu: Device) -> None:
    # A product of 76 images and 2304 pixels is split among threads and summed differently.
    config = CONFIG.replace(image_size=48, hidden=[7], dropout=0.2, batch_size=76, epochs=2)
    jobs = [Job(config, seed=seed, fold=seed) for seed in range(3)]
    results, n_threads = [], torch.get_num_threads()
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            results.append(train_together(open_stack(uneven, device=cpu), jobs))
            assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(n_threads)
    for found, expected in zip(*results, strict=True):
        assert_bitwise_equal(found, expected)


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu_after_an_epoch(
    data: TrainingData, cpu: Device, cuda: Device
) -> None:
    job = Job(CONFIG.replace(epochs=1))
    here, there = (
        train_alone(data, job, where).run.epochs[0].train["loss"]
        for where in (cpu, Device(cuda.name, "fp32"))
    )
    assert here == pytest.approx(there, rel=1e-3)
