"""Which trainings of a search end early: those that stay behind the median of earlier ones.

The rule is that of Optuna's MedianPruner. It is written out here since that one compares with
every trial that is complete by then, which depends on the clock; this one with those of the
configurations that are known (`hpo.search.proposals`).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Final

from optuna.trial import FrozenTrial

from hpo.study.score import Score

Limits = Mapping[int, float]
"""By epoch, the score that the best one so far must reach."""

_N_STARTUP: Final = 5


def is_behind(score: Score, scores: Iterable[float], limit: float | None) -> bool:
    """Whether the best of the scores so far does not reach the limit."""
    if limit is None:
        return False
    found = [score.rank(value) for value in scores if not math.isnan(value)]
    return not found or max(found) < score.rank(limit)


def first_compared(epochs: int) -> int:
    """Return the epoch from which on a training may end early: a third of those of the base."""
    return max(1, epochs // 3)


def _median(earlier: Iterable[FrozenTrial], epochs: int) -> Limits:
    """Compare from `first_compared` on, once five configurations are complete."""
    curves = [trial.intermediate_values for trial in earlier]
    if len(curves) < _N_STARTUP:
        return {}
    first = first_compared(epochs)
    by_epoch: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in curve.items():
            if epoch >= first and not math.isnan(value):
                by_epoch.setdefault(epoch, []).append(value)
    return {epoch: median(values) for epoch, values in by_epoch.items()}


def _none(earlier: Iterable[FrozenTrial], epochs: int) -> Limits:  # noqa: ARG001 (one table)
    return {}


PRUNERS: Final[dict[str, Callable[[Iterable[FrozenTrial], int], Limits]]] = {
    "median": _median,
    "none": _none,
}
"""From the complete first repeats of the known configurations, and the epochs of the base."""
