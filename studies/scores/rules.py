"""How well each score chooses: rank correlation with the test, and what choosing by it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from hpo.study.score import SCORES, Score
from studies.scores.targets import TARGETS, Answers, measure
from studies.scores.work import Trained

Floats: TypeAlias = NDArray[np.float64]

N_DRAWS: Final = 2000
N_RESAMPLES: Final = 300
SEARCH_SIZE: Final = 50
_SEED: Final = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One rule on one half of a test: by target, rank correlation and mean regret."""

    rule: str
    correlation: Mapping[str, Estimate]
    regret: Mapping[str, Estimate]


def judge(trained: Sequence[Trained], answers: Answers) -> list[Judged]:
    """Judge every rule by the answers that the configurations give on one half of a test.

    Intervals are percentiles over patients and configurations, resampled together; regret is
    a mean over draws of as many configurations as a search has.
    """
    random = np.random.default_rng(_SEED)
    scores = {name: _scores(trained, score) for name, score in SCORES.items()}
    whole = _judge_once(scores, measure(answers), random, n_draws=N_DRAWS)
    resampled = []
    for _ in range(N_RESAMPLES):
        chosen = random.integers(len(trained), size=len(trained))
        targets = measure(answers, weights=answers.resample(random))
        of_chosen = {name: values[chosen] for name, values in scores.items()}
        by_target = {name: values[chosen] for name, values in targets.items()}
        resampled.append(_judge_once(of_chosen, by_target, random, n_draws=100))
    return [
        Judged(
            rule=rule,
            correlation={t: _estimate(whole, resampled, rule, t, 0) for t in TARGETS},
            regret={t: _estimate(whole, resampled, rule, t, 1) for t in TARGETS},
        )
        for rule in scores
    ]


_Found: TypeAlias = dict[tuple[str, str], tuple[float, float]]


def _judge_once(
    scores: Mapping[str, Floats],
    targets: Mapping[str, Floats],
    random: np.random.Generator,
    *,
    n_draws: int,
) -> _Found:
    """Return correlation and regret by rule and target; all rules choose from the same draws."""
    n = len(next(iter(scores.values())))
    draws = np.argsort(random.random((n_draws, n)), axis=1)[:, : min(SEARCH_SIZE, n)]
    found = {}
    for target, values in targets.items():
        best = values[draws].max(axis=1)
        for rule, ranked in scores.items():
            chosen = draws[np.arange(n_draws), ranked[draws].argmax(axis=1)]
            regret = float((best - values[chosen]).mean())
            found[rule, target] = (_spearman(ranked, values), regret)
    return found


def _scores(trained: Sequence[Trained], score: Score) -> Floats:
    """Return the mean score of every configuration over its folds, higher being better."""
    return np.array(
        [
            np.mean([score.rank(score.of(run.kept.validation, run.stress)) for run in one.runs])
            for one in trained
        ]
    )


def _spearman(one: Floats, other: Floats) -> float:
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def _estimate(
    whole: _Found, resampled: Sequence[_Found], rule: str, target: str, which: int
) -> Estimate:
    values = [found[rule, target][which] for found in resampled]
    low, high = np.percentile(values, [2.5, 97.5])
    return Estimate(whole[rule, target][which], float(low), float(high))
