"""The validation accuracy that counts as "converged"."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hpo.config import Scalar
from hpo.stats.sentences import label
from hpo.summary import Configuration, StudySummary

_COIN: Final = 0.5


@dataclass(frozen=True)
class Target:
    """An accuracy to reach, and how it was chosen."""

    accuracy: float
    chosen: str

    @property
    def text(self) -> str:
        """The accuracy as a percentage."""
        return f"{100 * self.accuracy:.4g} %"


def choose_target(summary: StudySummary, chosen: Mapping[Scalar, Configuration]) -> Target:
    """Choose an accuracy that every configuration that learned has behind it in the end.

    It is a point below the lowest mean score, rounded down to a whole percent. A configuration
    that did not get half way from the majority class to the best would make every other one
    "converge" in its first epoch, and does not count.
    """
    means = {v: c.score.mean for v, c in chosen.items() if c.score and c.score.mean is not None}
    best = max(means.values())
    chance = min(summary.baselines.values(), default=_COIN)
    half_way = min((chance + best) / 2, best)
    learned = {v: mean for v, mean in means.items() if mean >= half_way}
    lowest = min(learned, key=lambda value: learned[value])
    reason = (
        f"a point below the lowest mean accuracy ({100 * learned[lowest]:.1f} %, "
        f"{label(lowest)}), rounded down"
    )
    if len(learned) < len(means):
        reason += ", of those that got at least half way from the baselines to the best"
    return Target(math.floor(100 * learned[lowest] - 1 + 1e-9) / 100, reason)
