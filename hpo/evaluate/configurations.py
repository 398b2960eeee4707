"""One configuration on the test: its metrics, gap, curves and what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo.evaluate import curves, gaps
from hpo.evaluate.checks import Training, one_answer, signs
from hpo.evaluate.crossed import Spread, difference_interval, share_interval, spread, stack
from hpo.evaluate.exam import Exam, Labels
from hpo.evaluate.gathering import Candidate
from hpo.evaluate.metrics import statistics
from hpo.evaluate.records import GAPS, METRICS, Confusion, Ensemble, Evaluated
from hpo.evaluate.thresholds import ThresholdRule, choose, shared
from hpo.stats.intervals import Floats
from hpo.storage.runs import Run


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a comparison of configurations needs: right answers, by repeat.

    `accuracy` `(1 + resamples, repeats)`, `is_right` `(repeats, images)`.
    """

    repeats: tuple[int, ...]
    accuracy: Floats
    is_right: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class _Model:
    """One trained repeat: its probabilities on both sets, and its threshold."""

    labels: Labels
    weights: Floats
    validation: Floats
    test: Floats
    threshold: float


def evaluate_configuration(
    candidate: Candidate, exam: Exam, rule: ThresholdRule
) -> tuple[Evaluated, Answered]:
    """Mark the answers of every repeat of a configuration."""
    models = [
        _model(candidate.runs[number], exam, repeat.fold, rule)
        for number, repeat in candidate.repeats.items()
    ]
    test = _draws(METRICS, [(exam.labels, m.test, m.threshold, exam.weights) for m in models])
    validation = _draws(GAPS, [(m.labels, m.validation, m.threshold, m.weights) for m in models])
    probabilities = [m.test for m in models]
    metrics = {n: share_interval(_spread(test[n], exam)) for n in METRICS}
    gap = {n: difference_interval(_spread(validation[n] - test[n], exam)) for n in GAPS}
    fall = gaps.Fall(metrics=metrics, gap=gap, bound=gaps.bound(exam.labels, probabilities))
    is_called_ill = np.stack([m.test > m.threshold for m in models])
    evaluated = Evaluated(
        name=candidate.name,
        value=candidate.configuration.value,
        params=candidate.configuration.params,
        trials=candidate.trials,
        thresholds=tuple(m.threshold for m in models),
        metrics=metrics,
        gap=gap,
        confusion=count_answers(is_called_ill, exam.labels),
        roc=curves.roc(exam.labels, probabilities),
        calibration=curves.calibration(exam.labels, probabilities),
        notes=tuple(filter(None, (gaps.gap_sentence(fall), gaps.threshold_sentence(fall)))),
        signs=_signs(candidate, models),
        ensemble=_ensemble(models, exam, rule),
    )
    answered = Answered(
        repeats=tuple(candidate.repeats),
        accuracy=test["accuracy"],
        is_right=is_called_ill == (exam.labels == 1),
    )
    return evaluated, answered


def _model(run: Run, exam: Exam, fold: int, rule: ThresholdRule) -> _Model:
    images = exam.fold(fold).validation
    labels = exam.pool_labels[images]
    validation = np.array(run.validation_probabilities)
    return _Model(
        labels=labels,
        weights=exam.pool_weights[:, images],
        validation=validation,
        test=np.array(run.test_probabilities),
        threshold=choose(rule, validation, labels),
    )


def _ensemble(models: Sequence[_Model], exam: Exam, rule: ThresholdRule) -> Ensemble | None:
    """Mark the mean probability of the repeats, as that of one model; one repeat has none."""
    if len(models) < 2:
        return None
    told = np.mean([m.test for m in models], axis=0)
    threshold = shared(rule, [m.threshold for m in models])
    draws = _draws(METRICS, [(exam.labels, told, threshold, exam.weights)])
    return Ensemble(
        n=len(models),
        threshold=threshold,
        metrics={name: share_interval(_spread(draws[name], exam)) for name in METRICS},
        confusion=count_answers(told > threshold, exam.labels),
    )


def _draws(
    names: Sequence[str], models: Sequence[tuple[Labels, Floats, float, Floats]]
) -> dict[str, Floats]:
    """Return metrics of every repeat under every resample: `(1 + resamples, repeats)` each."""
    columns: dict[str, list[Floats]] = {name: [] for name in names}
    for labels, probabilities, threshold, weights in models:
        found = statistics(labels, probabilities, threshold=threshold)
        for name, column in columns.items():
            column.append(found[name](weights))
    return {name: stack(column) for name, column in columns.items()}


def _spread(draws: Floats, exam: Exam) -> Spread:
    return spread(draws, overlap=exam.overlap, n_patients=exam.n_patients)


def count_answers(is_called_ill: NDArray[np.bool_], labels: Labels) -> Confusion:
    """Count right and wrong answers `(images,)` or `(repeats, images)`."""
    is_ill = labels == 1
    return Confusion(
        true_positive=int((is_called_ill & is_ill).sum()),
        false_negative=int((~is_called_ill & is_ill).sum()),
        false_positive=int((is_called_ill & ~is_ill).sum()),
        true_negative=int((~is_called_ill & ~is_ill).sum()),
    )


def _signs(candidate: Candidate, models: Sequence[_Model]) -> tuple[str, ...]:
    share = float(np.mean([m.labels.mean() for m in models]))
    trainings = [
        Training("", candidate.repeats[i].number, run) for i, run in candidate.runs.items()
    ]
    tested = {training: training.run.test_probabilities for training in trainings}
    thresholds = {t: model.threshold for t, model in zip(trainings, models, strict=True)}
    return (
        *signs(trainings, majority=max(share, 1 - share)),
        *one_answer(tested, images="test", thresholds=thresholds),
    )
