"""What the run store says of repeats that are compared: settled scores, and answers by image."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import fmean
from typing import Final, Generic, TypeVar

import numpy as np

from hpo.choices import ScoredWeights
from hpo.stats import Answers
from hpo.storage.runs import Epoch, Run, RunStore
from hpo.study.score import Score
from hpo.study.summary import Repeat

# Rates at most this much of the highest hardly move the weights any more.
_SETTLED_RATE: Final = 0.05
_MOST_ANSWERS: Final = 50_000_000

_TITLES: Final[Mapping[ScoredWeights | None, str]] = {
    "last": "the last weights",
    "average": "the averaged weights",
    None: "the weights that each training scores",
}


Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Evidence(Generic[Name]):
    """Per configuration a score of each repeat, None where there is none; `basis` says which.

    `answers` are there for accuracies, where every run tells its validation images.
    """

    scores: Mapping[Name, Sequence[float | None]]
    answers: Answers | None
    basis: str


def gather_evidence(
    repeats: Mapping[Name, Sequence[Repeat | None]],
    score: Score,
    runs: RunStore | None,
    weights: ScoredWeights | None = None,
) -> Evidence[Name]:
    """Return what the repeats are compared by.

    Where all trainings score the last weights, that is the mean score of the epochs in which the
    learning rate has settled, which differs less from training to training than that of the last
    epoch does. Else it is the score of the kept weights, or of the average or last `weights` that
    are asked for. Kinds are never mixed in one comparison: where some training is not in the run
    store or lacks what is asked for, all are compared by the score of the kept weights.
    """
    last = {name: [r.score if r else None for r in of_one] for name, of_one in repeats.items()}
    scored = [r for of_one in repeats.values() for r in of_one if r and r.score is not None]
    found = {r.run: _read(runs, r.run, score) if runs and r.run else None for r in scored}
    n_missing = sum(found[r.run] is None for r in scored)
    if not scored or runs is None:
        return Evidence(last, None, "")
    if n_missing:
        basis = (
            f"Compared by the {score.title} of the kept weights: {n_missing} of {len(scored)} "
            "trainings are not in the run store."
        )
        return Evidence(last, None, basis)
    by_run = {digest: run for digest, run in found.items() if run}
    kinds = {run.weights for run in by_run.values()}
    asked = weights and [_score_of(run, score, weights) for run in by_run.values()]
    n_lacking = asked.count(None) if asked else 0
    if weights is None or n_lacking:
        weights = min(kinds) if len(kinds) == 1 else None
    if weights == "last" and kinds == {"last"}:
        value_of = {digest: settled_score(run, score) for digest, run in by_run.items()}
        basis = (
            f"Compared by the mean {score.title} of the last epochs of each training (at most "
            "half of them), which varies less than that of the last epoch."
        )
    else:
        value_of = {d: _score_of(run, score, weights or run.weights) for d, run in by_run.items()}
        basis = f"Compared by the {score.title} of {_TITLES[weights]}."
    if n_lacking:
        basis += f" {n_lacking} of {len(by_run)} trainings have no score of the other weights."
    scores = {
        name: [value_of[r.run] if r and r.run in value_of else None for r in of_one]
        for name, of_one in repeats.items()
    }
    answers = _answers(repeats, by_run, weights) if score.is_accuracy else None
    if score.is_accuracy and answers is None:
        basis += " Their answers to single images are not used, so intervals are wider."
    return Evidence(scores, answers, basis)


def settled_score(run: Run, score: Score) -> float | None:
    """Return the mean score of the last epochs, at most half, whose learning rate has settled.

    Those are the epochs at the end whose rate is at most that of the last one, or 5 % of the
    highest. Where early stopping kept the weights of an epoch before, it is the score of these.
    """
    if run.kept_epoch < len(run.epochs):
        return score.of(run.kept.validation, run.stress)
    rates = [epoch.learning_rate for epoch in run.epochs]
    most = max(rates[-1], _SETTLED_RATE * max(rates))
    half = run.epochs[len(run.epochs) // 2 :]
    last = takewhile(lambda epoch: epoch.learning_rate <= most, reversed(half))
    measured = [s for s in (epoch_score(score, epoch) for epoch in last) if s is not None]
    return fmean(measured) if measured else score.of(run.kept.validation, run.stress)


def _read(runs: RunStore, digest: str, score: Score) -> Run | None:
    """Return a run if it holds the score of every epoch."""
    run = runs.read(digest)
    is_whole = run and all(score.metric in epoch.validation for epoch in run.epochs)
    return run if is_whole else None


def epoch_score(score: Score, epoch: Epoch) -> float | None:
    """Return the score of an epoch; None where it was not measured under stress."""
    return score.of(epoch.validation, {"mean": epoch.stress} if epoch.stress else {})


def _score_of(run: Run, score: Score, weights: ScoredWeights) -> float | None:
    """Return the score of the last or the averaged weights of a training, None without one."""
    if run.weights == weights:
        return score.of(run.kept.validation, run.stress)
    return score.of(run.other.validation, {}) if run.other else None


def _answers(
    repeats: Mapping[Name, Sequence[Repeat | None]],
    runs: Mapping[str | None, Run],
    weights: ScoredWeights | None,
) -> Answers | None:
    """Return which images each repeat answered rightly; None where older runs do not tell."""
    every = list(runs.values())
    n_answers = [(len(r.validation_images), len(r.validation_probabilities)) for r in every]
    if not all(n == m > 0 for n, m in n_answers):
        return None
    n_images = 1 + max(max(run.validation_images) for run in every)
    n_repeats = max(map(len, repeats.values()))
    if len(repeats) * n_repeats * n_images > _MOST_ANSWERS:
        return None
    right = np.full((len(repeats), n_repeats, n_images), np.nan)
    patients = np.arange(n_images)
    for i, of_one in enumerate(repeats.values()):
        for j, repeat in enumerate(of_one):
            if repeat is None or (run := runs.get(repeat.run)) is None:
                continue
            images = list(run.validation_images)
            kept = run.other if run.other and run.other.weights == weights else run
            is_positive = np.array(kept.validation_probabilities) > 0.5
            right[i, j, images] = is_positive == np.array(run.validation_labels, dtype=bool)
            patients[images] = run.validation_patients
    return Answers(right, patients)
