"""What the test has less than validation, and whether the threshold alone is to blame.

The rule for the sentence on the threshold, for one configuration, means over its repeats:

- the fall is told: the interval of validation minus test accuracy lies above zero, and it is at
  least `FALL`;
- the ranking holds: AUROC falls by at most half as much as accuracy;
- the errors are lopsided: sensitivity and specificity lie at least `LOPSIDED` apart;
- the threshold could mend it: at the Youden point of the test's own ROC curve accuracy would be
  higher by at least `MENDED` of the fall. That point is chosen on the test labels: it is a bound,
  told in this sentence alone, and no result.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hpo.evaluate.exam import Labels
from hpo.evaluate.thresholds import youden
from hpo.stats import Interval
from hpo.stats.intervals import Floats
from hpo.study.score import SCORES

FALL: Final = 0.05
LOPSIDED: Final = 0.1
MENDED: Final = 1 / 3
_HALF: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Fall:
    """Test and gap of one configuration; `bound` is the accuracy at the test's Youden point."""

    metrics: Mapping[str, Interval]
    gap: Mapping[str, Interval]
    bound: float


def gap_sentence(fall: Fall) -> str:
    """Say how far the test accuracy lies from that of validation."""
    gap, test = fall.gap["accuracy"], fall.metrics["accuracy"]
    if gap.mean is None or test.mean is None:
        return "The gap between validation and test cannot be told."
    both = f"{_percent(test.mean + gap.mean)} on validation, {_percent(test.mean)} on the test"
    if gap.low is None or gap.high is None:
        return f"Accuracy: {both}; there is no interval for the gap."
    bounds = sorted((abs(gap.low), abs(gap.high)))
    if gap.low <= 0 <= gap.high:
        text = f"no gap can be told ({100 * gap.low:+.1f} to {100 * gap.high:+.1f} points)"
    else:
        way = "lower" if gap.mean > 0 else "higher"
        low, high = sorted((test.mean, test.mean + gap.mean))
        size = SCORES["accuracy"].difference_text(high, low)
        text = f"the test is {size} {way} ({_points(bounds)})"
    return f"Accuracy: {both}; {text}."


def threshold_sentence(fall: Fall) -> str | None:
    """Say that the ranking holds and the threshold is off, where the rule above says so."""
    gap, rank = _mean(fall.gap["accuracy"]), _mean(fall.gap["auroc"])
    test, auroc = _mean(fall.metrics["accuracy"]), _mean(fall.metrics["auroc"])
    found, spared = _mean(fall.metrics["sensitivity"]), _mean(fall.metrics["specificity"])
    is_off = (
        (fall.gap["accuracy"].low or 0) > 0
        and gap >= FALL
        and rank <= _HALF * gap
        and abs(found - spared) >= LOPSIDED
        and fall.bound - test >= MENDED * gap
    )
    if not is_off:
        return None
    return (
        f"The ranking holds (AUROC {auroc:.3f} on the test, {auroc + rank:.3f} on validation), "
        f"the threshold is off: sensitivity {_percent(found)}, specificity {_percent(spared)}. "
        f"At the Youden point of the test's own ROC curve accuracy would be "
        f"{_percent(fall.bound)}: a bound, chosen on the test labels, and no result."
    )


def bound(labels: Labels, probabilities: Sequence[Floats]) -> float:
    """Return the mean accuracy of the repeats, each at the Youden point of its test ROC curve."""
    right = [float(((p > youden(p, labels)) == (labels == 1)).mean()) for p in probabilities]
    return math.fsum(right) / len(right)


def _mean(interval: Interval) -> float:
    return math.nan if interval.mean is None else interval.mean


def _points(bounds: Sequence[float]) -> str:
    return f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
