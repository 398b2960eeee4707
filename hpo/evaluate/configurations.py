"""The configurations of a study on its test: their runs and their results.

The labels of the test are read only in `open_test_set`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Final, TypeAlias

import numpy as np

from hpo.data.dataset import TEST, Dataset, Indices, TrainingData
from hpo.errors import RunStoreError, StudyError, fault_list
from hpo.evaluate.checks import check_answers, check_trainings
from hpo.evaluate.intervals import (
    Answers,
    Estimate,
    difference_interval,
    draw_weights,
    estimate,
    metric_interval,
)
from hpo.evaluate.metrics import Labels, calibration, count_answers, roc, statistics
from hpo.evaluate.records import GAPS, Ensemble, Evaluated, n_right
from hpo.evaluate.thresholds import ThresholdRule, choose, gap_sentence
from hpo.stats import Interval
from hpo.stats.intervals import Floats
from hpo.storage.runs import RunStore
from hpo.storage.url import named
from hpo.study.baselines import regressions
from hpo.study.summary import Configuration, Repeat, StudySummary
from hpo.training.engine import Run, predicted

_MOST_FAULTS: Final = 10


Candidate: TypeAlias = tuple[str, Configuration, Sequence[tuple[Repeat, Run]]]
"""The display name of a configuration, the configuration, and its repeats with their runs."""

Predictions: TypeAlias = tuple[int, Indices, Floats, Floats]
"""The number of a repeat, its validation images, and its probabilities for them and the test."""


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """Labels and resamples of the test images, and of the pool for the gap to validation.

    Weights are `(1 + resamples, images)`; patients of the test and of the pool are drawn
    independently.
    """

    labels: Labels
    class_names: tuple[str, ...]
    weights: Floats
    n_patients: int
    pool: TrainingData
    pool_weights: Floats
    overlap: float


def gather(summary: StudySummary, store: RunStore, *, is_all: bool) -> list[Candidate]:
    """Return all configurations of a grid, or the winner of a search, or all with `is_all`.

    Those of a search are sorted by validation score, the best first, followed by the course
    networks that were trained with it.

    Raises:
        StudyError: no training is complete.
        RunStoreError: files of the run store are missing or unreadable; all are named.
    """
    is_grid = summary.record.kind == "grid"
    chosen = [summary.best] if summary.best else []
    if is_grid or is_all:
        chosen = [c for c in summary.configurations if c.scores]
        if not is_grid:
            chosen.sort(key=summary.rank, reverse=True)
    if not chosen:
        raise StudyError(
            f"{summary.name} has no complete training to evaluate. {summary.to_finish}"
        )
    # Configurations of a search differ in everything, so use their numbers.
    called = [(c.label if is_grid else c.tag, c) for c in chosen]
    called += summary.reports.items()
    candidates, faults = list[Candidate](), []
    for name, configuration in called:
        runs = []
        for repeat in configuration.judged:
            run = store.read(repeat.run)
            if fault := _fault(run, summary.record.data.n_test):
                path = store.folder / f"{repeat.run or ''}.json"
                said = fault if path.is_file() else "is missing"
                faults.append(f"{configuration.label}, repeat {repeat.number}: {path} {said}.")
            elif run:
                runs.append((repeat, run))
        if runs:
            candidates.append((name, configuration, runs))
    if faults:
        raise RunStoreError(_explain(summary, store.folder, faults, is_all=is_all or is_grid))
    return candidates


def open_test_set(dataset: Dataset, pool: TrainingData, *, overlap: float) -> TestSet:
    """Read the labels of the test, and draw its resamples."""
    test = dataset.where(TEST)
    return TestSet(
        labels=dataset.labels[test],
        class_names=dataset.class_names,
        weights=draw_weights(dataset.patients[test], seed=0),
        n_patients=len(np.unique(dataset.patients[test])),
        pool=pool,
        pool_weights=draw_weights(dataset.patients[: pool.n_pool], seed=1),
        overlap=overlap,
    )


def evaluate_configuration(
    candidate: Candidate, test: TestSet, rule: ThresholdRule
) -> tuple[Evaluated, Answers]:
    """Evaluate every repeat of a configuration, and return its answers for comparisons."""
    name, configuration, runs = candidate
    predictions = _predictions(candidate, test.pool)
    evaluated, answers = evaluate_predictions(name, predictions, test, rule)
    trainings = [("", repeat.number, run) for repeat, run in runs]
    shares = [
        np.bincount(test.pool.labels[images], minlength=len(test.class_names)) / len(images)
        for _, images, *_ in predictions
    ]
    majority = float(np.mean(shares, axis=0).max())
    on_test = [probabilities for *_, probabilities in predictions]
    signs = check_trainings(trainings, test.class_names, majority=majority)
    signs += check_answers(
        trainings, test.class_names, on_test, evaluated.thresholds, images="test"
    )
    evaluated = replace(
        evaluated,
        value=configuration.value,
        params=configuration.params,
        trials=tuple(repeat.trial for repeat, _ in runs),
        signs=tuple(signs),
    )
    return evaluated, answers


def predict_by_regression(candidate: Candidate, pool: TrainingData) -> list[Predictions]:
    """Return the predictions of a logistic regression on the folds of a configuration."""
    networks = _predictions(candidate, pool)
    fitted = regressions(pool, [images for _, images, *_ in networks], has_test=True)
    return [
        (repeat, images, *answers)
        for (repeat, images, *_), answers in zip(networks, fitted, strict=True)
    ]


def _predictions(candidate: Candidate, pool: TrainingData) -> list[Predictions]:
    return [
        (
            repeat.repeat,
            # The recorded fold: another version of scikit-learn may draw another one.
            np.array(run.validation_images or pool.fold(repeat.fold).validation),
            np.array(run.validation_probabilities),
            np.array(run.test_probabilities),
        )
        for repeat, run in candidate[2]
    ]


def evaluate_predictions(
    name: str, predictions: Sequence[Predictions], test: TestSet, rule: ThresholdRule
) -> tuple[Evaluated, Answers]:
    """Evaluate the predictions of each repeat, and return its answers for comparisons."""
    n_classes, n_patients = len(test.class_names), test.n_patients
    thresholds, probabilities = [], []
    draws: list[Mapping[str, Floats]] = []
    falls: list[Mapping[str, Floats]] = []
    for _, images, validation, on_test in predictions:
        labels = test.pool.labels[images]
        threshold = choose(rule, validation, labels)
        thresholds.append(threshold)
        probabilities.append(on_test)
        draws.append(_draws(on_test, threshold, test.labels, test.weights))
        on_validation = statistics(labels, validation, threshold=threshold)
        weights = test.pool_weights[:, images]
        falls.append({name: on_validation[name](weights) - draws[-1][name] for name in GAPS})
    metrics = _intervals(draws, test.overlap, n_patients)
    gap = {
        name: difference_interval(_estimate([f[name] for f in falls], test.overlap, n_patients))
        for name in GAPS
    }
    answers = np.stack([predicted(*pair) for pair in zip(probabilities, thresholds, strict=True)])
    confusion = count_answers(answers, test.labels, n_classes)
    # Every image was used to train some of the repeats, so no validation images are left to choose
    # a threshold of the ensemble on: it is the mean of the thresholds of the repeats.
    of_all = fmean(thresholds) if rule.is_chosen else rule.value
    ensemble = evaluate_model(probabilities, of_all, test.labels, test.weights, n_patients)
    evaluated = Evaluated(
        name=name,
        value=name,
        params={},
        trials=(),
        thresholds=tuple(thresholds),
        metrics=metrics,
        n_right=n_right(confusion) / len(thresholds),
        confusion=confusion,
        gap=gap,
        roc=roc(test.labels, probabilities) if n_classes == 2 else None,
        calibration=calibration(test.labels, probabilities),
        notes=(gap_sentence(metrics["accuracy"], gap["accuracy"]),),
        signs=(),
        ensemble=ensemble if len(thresholds) > 1 else None,
    )
    rows = zip(predictions, draws, answers == test.labels, strict=True)
    return evaluated, {repeat: (of_one, right) for (repeat, *_), of_one, right in rows}


def evaluate_model(
    probabilities: Sequence[Floats],
    threshold: float,
    labels: Labels,
    weights: Floats,
    n_patients: int,
) -> Ensemble:
    """Evaluate the mean probability of networks as one model; intervals cover patients only.

    `weights` are resamples of the images, as returned by `draw_weights`.
    """
    mean = np.mean(probabilities, axis=0)
    n_classes = 2 if mean.ndim == 1 else mean.shape[1]
    confusion = count_answers(predicted(mean, threshold), labels, n_classes)
    return Ensemble(
        n=len(probabilities),
        threshold=threshold,
        metrics=_intervals([_draws(mean, threshold, labels, weights)], 0.0, n_patients),
        n_right=n_right(confusion),
        confusion=confusion,
    )


def _draws(
    probabilities: Floats, threshold: float, labels: Labels, weights: Floats
) -> Mapping[str, Floats]:
    """Return every metric under every resample."""
    found = statistics(labels, probabilities, threshold=threshold)
    return {name: of(weights) for name, of in found.items()}


def _intervals(
    draws: Sequence[Mapping[str, Floats]], overlap: float, n_patients: int
) -> dict[str, Interval]:
    found = {n: _estimate([one[n] for one in draws], overlap, n_patients) for n in draws[0]}
    return {n: metric_interval(one, is_share=n != "log_loss") for n, one in found.items()}


def _estimate(draws: Sequence[Floats], overlap: float, n_patients: int) -> Estimate:
    return estimate(np.stack(draws, axis=1), overlap=overlap, n_patients=n_patients)


def _fault(run: Run | None, n_test: int) -> str | None:
    """Return the fault in the answers of a run, or None."""
    if run is None:
        return "is damaged, or from another version of hpo"
    if len(run.test_probabilities) != n_test:
        return f"has answers to {len(run.test_probabilities)} of {n_test} test images"
    if not all(
        np.isfinite(p).all() for p in (run.validation_probabilities, run.test_probabilities)
    ):
        return "has non-finite probabilities because the training diverged"
    return None


def _explain(summary: StudySummary, folder: Path, faults: list[str], *, is_all: bool) -> str:
    n_hidden = len(faults) - _MOST_FAULTS
    shown = faults[:_MOST_FAULTS] + ([f"and {n_hidden} more"] if n_hidden > 0 else [])
    study = named(summary.name, summary.storage)
    export = f"hpo export {study}{' --all' * is_all}{summary.record.model_option}"
    return (
        fault_list(f"Cannot read the results of {summary.name}, so its test stays sealed:", shown)
        + f"\nIf the run store is not in {folder}, set HPO_RUNS to its folder. Otherwise train "
        f"these repeats again, with `{export}`, then evaluate again. Results of another version "
        "of hpo cannot be read: run the study again under another name (--study)."
    )
