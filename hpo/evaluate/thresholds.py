"""The threshold above which a probability means pneumonia: fixed, or chosen on validation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hpo.errors import UsageError
from hpo.stats.intervals import Floats

DEFAULT: Final = "0.5"

_TINY: Final = 1e-9


@dataclass(frozen=True)
class ThresholdRule:
    """How the threshold of each repeat is found. `value` is the fixed one, or the sensitivity."""

    kind: Literal["fixed", "youden", "sensitivity"]
    value: float = math.nan

    @property
    def text(self) -> str:
        """The rule as it is typed: `0.5`, `youden`, `sensitivity=0.95`."""
        if self.kind == "fixed":
            return f"{self.value:g}"
        return self.kind if self.kind == "youden" else f"sensitivity={self.value:g}"

    @property
    def is_chosen(self) -> bool:
        """Whether each repeat has its own, chosen on its own validation images."""
        return self.kind != "fixed"


def read_rule(text: str) -> ThresholdRule:
    """Read `--threshold`.

    Raises:
        UsageError: it is no number between 0 and 1, no `youden`, no `sensitivity=X`.
    """
    name, _, value = text.strip().partition("=")
    if name == "youden" and not value:
        return ThresholdRule("youden")
    if name == "sensitivity":
        wanted = _number(value)
        if not 0 < wanted <= 1:
            raise UsageError(
                f"--threshold sensitivity=X takes a share above 0 and up to 1, but got "
                f"{value[:40]!r}: write sensitivity=0.95."
            )
        return ThresholdRule("sensitivity", wanted)
    fixed = _number(text)
    if not 0 < fixed < 1:
        raise UsageError(
            f"--threshold takes a number between 0 and 1, youden or sensitivity=X, but got "
            f"{text[:40]!r}: without it, it is {DEFAULT}."
        )
    return ThresholdRule("fixed", fixed)


def choose(rule: ThresholdRule, probabilities: Floats, labels: NDArray[np.uint8]) -> float:
    """Return the threshold of a rule; `probabilities` and `labels` are those of validation.

    Above it means pneumonia. Chosen ones lie halfway between two probabilities. `youden` is where
    sensitivity plus specificity is largest (Youden 1950), of equals the nearest to 0.5;
    `sensitivity` the largest threshold that finds this share of the pneumonia images.
    """
    if rule.kind == "fixed":
        return rule.value
    if rule.kind == "youden":
        return youden(probabilities, labels)
    ill = np.sort(probabilities[labels == 1])[::-1]
    last_found = ill[math.ceil(rule.value * len(ill) - _TINY) - 1]
    below = probabilities[probabilities < last_found]
    if not len(below):
        return float(np.nextafter(last_found, -1))
    return float((last_found + below.max()) / 2)


def shared(rule: ThresholdRule, thresholds: Sequence[float]) -> float:
    """Return the threshold for the mean probability of models that have these thresholds.

    Where each was chosen on its own validation images, it is their mean. Folds part the images, so
    the mean probability has no validation images to choose it on: some model trained on each.
    """
    return fmean(thresholds) if rule.is_chosen else rule.value


def youden(probabilities: Floats, labels: NDArray[np.uint8]) -> float:
    """Return the threshold with the largest sensitivity plus specificity."""
    values = np.unique(probabilities)
    if len(values) < 2:
        return float(DEFAULT)
    candidates = (values[:-1] + values[1:]) / 2
    sensitivity = _share_above(probabilities[labels == 1], candidates)
    specificity = 1 - _share_above(probabilities[labels == 0], candidates)
    gain = sensitivity + specificity
    best = candidates[gain >= gain.max() - _TINY]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _share_above(probabilities: Floats, thresholds: Floats) -> Floats:
    n_below = np.searchsorted(np.sort(probabilities), thresholds, side="right")
    return np.asarray(1 - n_below / len(probabilities))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
