"""Which trainings of a search end early: those that stay behind the median of earlier ones.

The rule is that of Optuna's MedianPruner, which compares with every trial that is complete by
then: that depends on the clock. This one compares with the configurations that are known
(`hpo.search.proposals`).
"""

import math
from collections.abc import Callable, Iterable
from statistics import median
from typing import Final

from optuna.trial import FrozenTrial

from hpo.study.score import Score
from hpo.study.trials import Limits

_N_STARTUP: Final = 5


def is_behind(score: Score, scores: Iterable[float], limit: float | None) -> bool:
    """Whether the best of the scores so far does not reach the limit."""
    if limit is None:
        return False
    found = [score.rank(value) for value in scores if not math.isnan(value)]
    return not found or max(found) < score.rank(limit)


def _median(earlier: Iterable[FrozenTrial], epochs: int) -> Limits:
    """Compare from a third of the base's epochs on, once five configurations are complete."""
    curves = [trial.intermediate_values for trial in earlier]
    if len(curves) < _N_STARTUP:
        return {}
    by_epoch: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in curve.items():
            if epoch >= max(1, epochs // 3) and not math.isnan(value):
                by_epoch.setdefault(epoch, []).append(value)
    return {epoch: median(values) for epoch, values in by_epoch.items()}


PRUNERS: Final[dict[str, Callable[[Iterable[FrozenTrial], int], Limits]]] = {
    "median": _median,
    "none": lambda _earlier, _epochs: {},
}
"""From the complete first repeats of the known configurations, and the epochs of the base."""
