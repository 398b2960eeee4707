"""The threshold above which a probability means the positive class, and the gap to validation."""

import math
from dataclasses import dataclass
from statistics import fmean
from typing import Final, Literal

import numpy as np

from hpo.errors import StudyError, UsageError
from hpo.evaluate.metrics import Labels
from hpo.evaluate.records import Evaluation
from hpo.stats import Interval
from hpo.stats.intervals import WIDEST, Floats
from hpo.storage.runs import RunStore
from hpo.study.score import SCORES
from hpo.study.summary import Configuration
from hpo.tables import count

DEFAULT: Final = "0.5"

_TINY: Final = 1e-9


@dataclass(frozen=True)
class ThresholdRule:
    """The rule for the threshold of each repeat. `value` is fixed, or the sensitivity."""

    kind: Literal["fixed", "youden", "sensitivity"]
    value: float = math.nan

    @property
    def text(self) -> str:
        """The rule as typed: `0.5`, `youden`, `sensitivity=0.95`."""
        number = repr(self.value).removesuffix(".0")
        return {"fixed": number, "youden": "youden"}.get(self.kind, f"sensitivity={number}")

    @property
    def is_chosen(self) -> bool:
        """Whether the threshold of each repeat is chosen on its own validation images."""
        return self.kind != "fixed"


def read_rule(text: str) -> ThresholdRule:
    """Read `--threshold`.

    Raises:
        UsageError: it is not a number between 0 and 1, `youden` or `sensitivity=X`.
    """
    name, _, share = text.strip().partition("=")
    if (name, share) == ("youden", ""):
        return ThresholdRule("youden")
    try:
        number = float(share if name == "sensitivity" else text)
    except ValueError:
        number = math.nan
    if name == "sensitivity" and 0 < number <= 1:
        return ThresholdRule("sensitivity", number)
    if name == "sensitivity":
        raise UsageError(
            f"--threshold sensitivity=X must be above 0 and at most 1, but got {share[:40]!r}. "
            "For 95 %, write sensitivity=0.95."
        )
    if not 0 < number < 1:
        raise UsageError(
            f"--threshold must be a number between 0 and 1, youden or sensitivity=X, but got "
            f"{text[:40]!r}. The default is {DEFAULT}."
        )
    return ThresholdRule("fixed", number)


def choose(rule: ThresholdRule, probabilities: Floats, labels: Labels) -> float:
    """Return the threshold of a rule; `probabilities` and `labels` are those of validation.

    Chosen thresholds lie halfway between two probabilities. `youden` maximizes sensitivity plus
    specificity (Youden 1950), with ties broken toward 0.5; `sensitivity` is the largest threshold
    with at least this sensitivity.
    """
    if rule.kind == "fixed":
        return rule.value
    if rule.kind == "youden":
        return _youden(probabilities, labels)
    positive = np.sort(probabilities[labels == 1])[::-1]
    last_found = positive[math.ceil(rule.value * len(positive) - _TINY) - 1]
    below = probabilities[probabilities < last_found]
    if not len(below):
        return float(np.nextafter(last_found, -1))
    return float((last_found + below.max()) / 2)


def _youden(probabilities: Floats, labels: Labels) -> float:
    """Return the threshold with the largest sensitivity plus specificity."""
    from sklearn.metrics import roc_curve  # Importing it takes a second.

    if np.ptp(probabilities) == 0:
        return float(DEFAULT)
    # From the lowest threshold up, without the ends, where all or no images are positive.
    false_alarms, sensitivity, values = (
        x[::-1] for x in roc_curve(labels, probabilities, drop_intermediate=False)
    )
    gain = (sensitivity - false_alarms)[1:-1]
    candidates = ((values[:-1] + values[1:]) / 2)[:-1]
    best = candidates[gain >= gain.max() - _TINY]
    return float(best[np.argmin(np.abs(best - 0.5))])


def check_rule(rule: ThresholdRule, n_classes: int) -> None:
    """Raise a UsageError if a threshold is given for more than two classes."""
    if n_classes > 2 and rule.text != DEFAULT:
        raise UsageError(
            f"--threshold is for two classes, but the data have {n_classes}. Leave it out: the "
            "most likely class is predicted."
        )


def rule_of(asked: str | None, evaluation: Evaluation | None) -> str:
    """Return the given rule, else the rule of the last evaluation, else the default."""
    return asked or (evaluation.threshold if evaluation else DEFAULT)


def model_threshold(text: str, best: Configuration, store: RunStore) -> float:
    """Return the threshold of the ensemble of a configuration, the mean over its repeats.

    `text` is a rule as typed.

    Raises:
        UsageError: it is invalid, or there are more than two classes.
        StudyError: it is chosen on validation images, and a run lacks their labels.
    """
    rule = read_rule(text)
    check_rule(rule, best.config.n_outputs)
    if not rule.is_chosen:
        return rule.value
    runs = [store.read(repeat.run) for repeat in best.judged]
    if not all(run and run.validation_labels for run in runs):
        raise StudyError(
            f"--threshold {rule.text} is chosen on validation images, but the run store lacks the "
            "predictions for them. Use a number, such as 0.5."
        )
    return fmean(
        choose(rule, np.array(run.validation_probabilities), np.array(run.validation_labels))
        for run in runs
        if run
    )


def gap_sentence(test: Interval, gap: Interval) -> str:
    """Describe the gap between validation and test accuracy."""
    if gap.mean is None or test.mean is None:
        return "The gap between validation and test accuracy is not defined."
    validation = test.mean + gap.mean
    text = f"Accuracy: {100 * validation:.1f} % on validation, {100 * test.mean:.1f} % on the test"
    if gap.low is None or gap.high is None:
        return f"{text}. The gap has no interval."
    low, high = 100 * gap.low, 100 * gap.high
    if low <= 0 <= high:
        interval = f"(95 % interval {low:+.1f} to {high:+.1f} points)"
        few = f"with {count(gap.n, 'repeat')}, too few for a useful interval"
        return f"{text}. No significant gap {few if gap.high - gap.low > WIDEST else interval}."
    size = SCORES["accuracy"].difference_text(*sorted((test.mean, validation), reverse=True))
    way = "lower" if gap.mean > 0 else "higher"
    low, high = sorted((abs(low), abs(high)))
    return f"{text}, which is {size} {way} (95 % interval {low:.1f} to {high:.1f})."
