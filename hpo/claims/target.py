"""The validation accuracy that counts as "converged"."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hpo.config import Scalar
from hpo.stats.sentences import label

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


def choose_target(means: Mapping[Scalar, float], baselines: Iterable[float]) -> Target:
    """Choose an accuracy that every configuration that learned has behind it in the end.

    `means` are the mean accuracies of the kept weights. The target is a point below the lowest,
    rounded down to a whole percent. A configuration that did not get half way from the majority
    class to the best would make every other one "converge" in its first epoch, and does not count.
    """
    best = max(means.values())
    chance = min(baselines, default=_COIN)
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
