"""The scores that a study can optimize: validation metrics, plain or under stress."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final

from hpo.config import did_you_mean
from hpo.errors import UsageError
from hpo.stats import ACCURACY, Interval, ScoreKind
from hpo.training.engine import Epoch, Run

# A difference below the margin does not matter: one point or the equivalent.
METRICS: Final = {
    **dict.fromkeys(("accuracy", "balanced_accuracy", "auroc"), ACCURACY),
    "log_loss": ScoreKind("minimize", is_share=False, margin=0.02),
    "brier": ScoreKind("minimize", is_share=False, margin=0.005),
}
# The number of default margins between chance and perfection.
_MOST_MARGINS: Final = 50
_STRESS: Final = "stress_"

# The course reports compare accuracies. For searches, plain accuracy prefers models that memorize
# one hospital: studies/scores.
DEFAULT_METRICS: Final = {"grid": "accuracy", "search": "stress_accuracy"}

REQUIRED: Final = ("sensitivity", "specificity")
"""The metrics that a search may require of its winner."""

# With classes further apart than 60:40, always predicting the larger one scores high.
_UNEQUAL: Final = 60 / 40


@dataclass(frozen=True, slots=True)
class Score:
    """The one number a study optimizes: `metric`, or its mean over the stress battery."""

    name: str
    metric: str
    is_stressed: bool
    kind: ScoreKind

    def of(
        self, validation: Mapping[str, float], stress: Mapping[str, Mapping[str, float]]
    ) -> float | None:
        """Return the score from plain metrics and metrics by change; None if not measured."""
        if not self.is_stressed:
            return validation.get(self.metric)
        # Older runs lack newer metrics.
        values = [metrics[self.metric] for metrics in stress.values() if self.metric in metrics]
        return fmean(values) if values and len(values) == len(stress) else None

    def of_epoch(self, epoch: Epoch) -> float | None:
        """Return the score of an epoch; None if not measured under stress, or not a number."""
        score = self.of(epoch.validation, {"mean": epoch.stress} if epoch.stress else {})
        return score if score is not None and math.isfinite(score) else None

    def of_run(self, run: Run) -> float | None:
        """Return the score of the kept weights; None if not measured under stress."""
        return self.of(run.kept.validation, run.stress)

    def rank(self, score: float | None) -> float:
        """Return a number that is higher for a better score; the lowest if there is none."""
        if score is None:
            return float("-inf")
        return score if self.kind.direction == "maximize" else -score

    def number(self, score: float, *, digits: int = 1) -> str:
        """Format a score without its unit: shares in percent, others with two more digits."""
        return f"{100 * score:.{digits}f}" if self.kind.is_share else f"{score:.{digits + 2}f}"

    def text(self, score: float, *, digits: int = 1) -> str:
        """Format a score: shares in percent, others as numbers."""
        return self.number(score, digits=digits) + ("\u00a0%" if self.kind.is_share else "")

    def range_text(self, interval: Interval) -> str:
        """Format an interval with one unit; "" if there is none or it covers everything."""
        if interval.low is None or interval.high is None:
            return ""
        if self.kind.is_share and interval.low <= 0 and interval.high >= 1:
            return ""
        return f"{self.number(interval.low)} to {self.text(interval.high)}"

    def difference(self, a: float, b: float) -> float:
        """Return `a` minus `b` as displayed: both are rounded first."""
        return float(self.number(a)) - float(self.number(b))

    def difference_text(self, a: float, b: float) -> str:
        """Format `a` minus `b`: in points, or as a number."""
        difference = self.difference(a, b)
        return f"{difference:.1f} points" if self.kind.is_share else f"{difference:.3f}"

    def with_margin(self, margin: float) -> "Score":
        """Return the score with another smallest difference that matters, in points or plain.

        Raises:
            UsageError: the margin is not above 0, or too large.
        """
        factor, unit = (100, " points") if self.kind.is_share else (1, "")
        default = factor * (SCORES[self.name].kind.margin or 0.0)
        limit = _MOST_MARGINS * default
        if not 0 < margin <= limit:
            raise UsageError(
                f"--margin must be a difference in {self.title} above 0, at most {limit:g}{unit}, "
                f"but got {margin:g}. The default is --margin {default:g}."
            )
        return replace(self, kind=replace(self.kind, margin=margin / factor))

    @property
    def title(self) -> str:
        """The score in words."""
        words = self.metric.replace("_", " ").replace("auroc", "AUROC").replace("brier", "Brier")
        return f"{words} under stress" if self.is_stressed else words

    @property
    def column(self) -> str:
        """The heading of a column of numbers."""
        return f"{self.title}, %" if self.kind.is_share else self.title

    @property
    def is_accuracy(self) -> bool:
        """Whether it is the accuracy on unchanged images, like the scores of the baselines."""
        return self.name == "accuracy"

    @property
    def plain(self) -> "Score":
        """The same metric on unchanged images."""
        return SCORES[self.metric]


SCORES: Final[Mapping[str, Score]] = {
    prefix + metric: Score(prefix + metric, metric, bool(prefix), kind)
    for prefix in ("", _STRESS)
    for metric, kind in METRICS.items()
}


def default_metric(kind: str, classes: Mapping[str, int]) -> str:
    """Return the default metric; `classes` counts the images of each class."""
    metric = DEFAULT_METRICS[kind]
    return metric.replace("accuracy", "balanced_accuracy") if _are_unequal(classes) else metric


def read_required(required: Mapping[str, object]) -> dict[str, float]:
    """Return the required lowest shares; 0 removes a requirement.

    Raises:
        UsageError: a metric that cannot be required, or not a share from 0 to 1.
    """
    shares: dict[str, float] = {}
    for name, text in required.items():
        with suppress(ValueError):
            shares[name] = float(str(text))
        if name not in REQUIRED or not 0 <= shares.get(name, -1) <= 1:
            raise UsageError(
                f"--require needs {' or '.join(REQUIRED)} with a share from 0 to 1, such as "
                f"sensitivity=0.95, but got {name[:60]}={str(text)[:60]}."
            )
    return shares


def metric_note(name: str, classes: Mapping[str, int]) -> str | None:
    """Explain the default metric for unequal classes, if it is used."""
    if not _are_unequal(classes) or SCORES[name].metric != "balanced_accuracy":
        return None
    rarest, commonest = (of(classes, key=classes.__getitem__) for of in (min, max))
    return (
        f"The classes are more unequal than 60:40 ({commonest} {classes[commonest]:,} images, "
        f"{rarest} {classes[rarest]:,}), so balanced accuracy is the default metric."
    )


def _are_unequal(classes: Mapping[str, int]) -> bool:
    return bool(classes) and max(classes.values()) > _UNEQUAL * min(classes.values())


def read_score(name: str) -> Score:
    """Return the score of this name, or raise UsageError."""
    if name not in SCORES:
        hint = did_you_mean(name, SCORES) or f"Use one of {', '.join(SCORES)}."
        raise UsageError(f"--metric cannot be {name[:60]!r}. {hint}")
    return SCORES[name]
