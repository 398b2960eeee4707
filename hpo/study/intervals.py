"""Means over repeats, and comparisons of configurations by their runs."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from statistics import fmean
from typing import Final, TypeVar

import numpy as np

from hpo import stats
from hpo.choices import ScoredWeights
from hpo.config import Scalar
from hpo.stats.sentences import label, margin_text
from hpo.storage.runs import RunStore
from hpo.study.record import StudyRecord
from hpo.study.score import Score
from hpo.study.summary import Configuration, Repeat
from hpo.training.engine import Run, predicted

Name = TypeVar("Name", bound=Hashable)

# 100 configurations have 4,950 pairs; 2,000 would have two million, too many to read.
_MOST_COMPARED: Final = 100
_N_BEST: Final = 15
# Learning rates up to this share of the highest hardly change the weights.
_SETTLED_RATE: Final = 0.05
_MOST_ANSWERS: Final = 50_000_000
_TITLES: Final[Mapping[ScoredWeights | None, str]] = {
    "last": "the last weights",
    "average": "the averaged weights",
    None: "the weights that each training scores",
}


def mean_score(
    repeats: Iterable[Repeat], record: StudyRecord, *, has_interval: bool = True
) -> stats.Interval | None:
    """Return the mean of complete scores; its interval is limited to valid scores.

    With few repeats it may exceed them: scores are never below 0, shares never above 1. The
    interval of a share is at least as wide as the Wilson interval of its images.
    """
    complete = [r for r in repeats if r.state == "complete" and r.score is not None]
    if not complete:
        return None
    scores = [r.score for r in complete if r.score is not None]
    if not has_interval:
        return stats.Interval(fmean(scores), None, None, None, len(scores))
    interval = stats.mean_interval(scores, overlap=record.data.overlap)
    if interval.mean is None or interval.low is None or interval.high is None:
        return interval
    if not record.score.kind.is_share:
        return replace(interval, low=max(0.0, interval.low))
    n_folds = len({r.fold % record.data.n_folds for r in complete})
    # The changed copies of an image under stress are not further images.
    low, high = stats.wilson(interval.mean, max(1, record.data.n_validation * n_folds))
    return replace(
        interval, low=min(low, max(0.0, interval.low)), high=max(high, min(1.0, interval.high))
    )


def compare(
    configurations: Mapping[Scalar, Configuration],
    record: StudyRecord,
    *,
    runs: RunStore | None,
    first: int = 0,
    pairs: Sequence[tuple[Scalar, Scalar]] | None = None,
    n_looks: int = 1,
    is_unfinished: bool = False,
) -> stats.SweepComparison:
    """Compare configurations by the repeats from `first` on that both have.

    Compares all pairs (of the best, if there are more than a hundred), or only `pairs`; by their
    runs in the run store, or without one and for very many, by the scores of their trials. The
    intervals hold jointly over `n_looks` comparisons. If the study `is_unfinished`, repeats that
    a pair lacks are still to be trained.
    """
    repeats: dict[Scalar, Sequence[Repeat | None]] = {}
    for name, configuration in configurations.items():
        by_repeat = {r.repeat: r for r in configuration.repeats}
        repeats[name] = [by_repeat.get(i) for i in range(first, max(by_repeat, default=-1) + 1)]
    level = stats.level_of_looks(n_looks)
    is_large = pairs is None and len(repeats) > _MOST_COMPARED
    runs, most = (None, _N_BEST) if is_large else (runs, None)
    comparison = compare_repeats(repeats, pairs, record, runs=runs, level=level, most=most)
    if n_looks > 1:
        looks = (
            f"The values are compared up to {n_looks} times, so each interval is a "
            f"{100 * level:.3g} % interval. Their joint level is 95 %."
        )
        comparison = replace(comparison, basis=f"{comparison.basis} {looks}".strip())
    pairs_so_far = tuple(
        replace(p, sentence=f"{label(p.a)} and {label(p.b)}: too few repeats so far.")
        if is_unfinished and p.n_pairs < 2
        else p
        for p in comparison.pairs
    )
    return replace(comparison, pairs=pairs_so_far)


def compare_repeats(
    repeats: Mapping[Name, Sequence[Repeat | None]],
    pairs: Sequence[tuple[Name, Name]] | None,
    record: StudyRecord,
    *,
    runs: RunStore | None,
    level: float = 0.95,
    most: int | None = None,
) -> stats.SweepComparison:
    """Compare pairs by their repeats, in order, by their runs in the run store.

    `pairs` None means all, or among more than `most` configurations those of the best.
    """
    scores, answers, basis = gather_evidence(repeats, record.score, runs, record.weights)
    comparison = stats.compare_sweep(
        scores,
        pairs=pairs,
        most=most,
        overlap=record.data.overlap,
        level=level,
        kind=record.score.kind,
        n_images=record.data.n_validation,
        answers=answers,
    )
    sentences = [basis] if basis else []
    if record.data.has_own_validation and answers is None:
        sentences.append("The results apply to these validation images only.")
    if record.margin is not None:
        margin = margin_text(record.score.kind)
        sentences.append(f"The smallest difference that matters is {margin} (--margin).")
    return replace(comparison, basis=" ".join(sentences))


def gather_evidence(
    repeats: Mapping[Name, Sequence[Repeat | None]],
    score: Score,
    runs: RunStore | None,
    weights: ScoredWeights | None = None,
) -> tuple[Mapping[Name, Sequence[float | None]], stats.Answers | None, str]:
    """Return the scores to compare repeats by, their answers, and a description of the scores.

    If all trainings score the last weights, it is the mean score over the epochs in which the
    learning rate has settled, which varies less between trainings than the score of the last
    epoch. Otherwise it is the score of the kept weights, or of the average or last `weights` if
    given. Kinds are never mixed in one comparison: if a training is not in the run store or lacks
    the requested score, all are compared by the score of the kept weights. Answers are available
    for accuracies if every run records its validation images.
    """
    own_scores = {name: [r.score if r else None for r in row] for name, row in repeats.items()}
    scored = [r for row in repeats.values() for r in row if r and r.score is not None]
    if not scored or runs is None:
        return own_scores, None, ""
    runs_read = {r.run: _read(runs, r.run, score) for r in scored}
    by_run = {digest: run for digest, run in runs_read.items() if run}
    if n_missing := sum(r.run not in by_run for r in scored):
        basis = (
            f"Compared by the {score.title} of the kept weights: {n_missing} of {len(scored)} "
            "trainings are not in the run store."
        )
        return own_scores, None, basis
    kinds = {run.weights for run in by_run.values()}
    requested = weights and [_score_of(run, score, weights) for run in by_run.values()]
    n_lacking = requested.count(None) if requested else 0
    if weights is None or n_lacking:
        weights = min(kinds) if len(kinds) == 1 else None
    if weights == "last" and kinds == {"last"}:
        value_of = {digest: settled_score(run, score) for digest, run in by_run.items()}
        basis = (
            f"Compared by the mean {score.title} of the last epochs of each training (at most "
            "half of them), which varies less than the score of the last epoch."
        )
        if all(len(run.epochs) == 1 for run in by_run.values()):  # Such as estimators.
            basis = f"Compared by the {score.title}."
    else:
        value_of = {digest: _score_of(run, score, weights) for digest, run in by_run.items()}
        basis = f"Compared by the {score.title} of {_TITLES[weights]}."
    if n_lacking:
        basis += f" {n_lacking} of {len(by_run)} trainings lack a score of the other weights."
    scores = {
        name: [value_of.get(r.run) if r else None for r in row] for name, row in repeats.items()
    }
    answers = _answers(repeats, by_run, weights) if score.is_accuracy else None
    if score.is_accuracy and answers is None:
        basis += " Their answers to single images are not used, so intervals are wider."
    return scores, answers, basis


def settled_score(run: Run, score: Score) -> float | None:
    """Return the mean score of the last epochs with a settled learning rate, at most half of all.

    Half is rounded up. The rate of those epochs is at most that of the last one, or 5 % of the
    highest. If early stopping kept the weights of an earlier epoch, their score is returned.
    """
    if run.kept_epoch < len(run.epochs):
        return score.of_run(run)
    rates = [epoch.learning_rate for epoch in run.epochs]
    highest = max(rates[-1], _SETTLED_RATE * max(rates))
    half = run.epochs[len(run.epochs) // 2 :]
    last = takewhile(lambda epoch: epoch.learning_rate <= highest, reversed(half))
    measured = [s for s in map(score.of_epoch, last) if s is not None]
    return fmean(measured) if measured else score.of_run(run)


def _read(runs: RunStore, digest: str | None, score: Score) -> Run | None:
    """Return a run if it has the score of every epoch."""
    run = runs.read(digest)
    is_whole = run and all(score.metric in epoch.validation for epoch in run.epochs)
    return run if is_whole else None


def _score_of(run: Run, score: Score, weights: ScoredWeights | None) -> float | None:
    """Return the score of the scored, last or averaged weights of a training, if it has one."""
    if weights in (None, run.weights):
        return score.of_run(run)
    return score.of(run.other.validation, {}) if run.other else None


def _answers(
    repeats: Mapping[Name, Sequence[Repeat | None]],
    runs: Mapping[str | None, Run],
    weights: ScoredWeights | None,
) -> stats.Answers | None:
    """Return which images each repeat classified correctly; None if older runs lack them."""
    if not all(run.names_images for run in runs.values()):
        return None
    n_images = 1 + max(max(run.validation_images) for run in runs.values())
    n_repeats = max(map(len, repeats.values()))
    if len(repeats) * n_repeats * n_images > _MOST_ANSWERS:
        return None
    is_correct = np.full((len(repeats), n_repeats, n_images), np.nan)
    patients = np.arange(n_images)
    for i, row in enumerate(repeats.values()):
        for j, repeat in enumerate(row):
            if repeat is None or (run := runs.get(repeat.run)) is None:
                continue
            images = list(run.validation_images)
            scored_run = run.other if run.other and run.other.weights == weights else run
            answers = predicted(np.array(scored_run.validation_probabilities))
            is_correct[i, j, images] = answers == np.array(run.validation_labels)
            patients[images] = run.validation_patients
    return stats.Answers(is_correct, patients)
