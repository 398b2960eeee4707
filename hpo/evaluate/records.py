"""The results of an opened test, as records that the study stores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pydantic import TypeAdapter

from hpo.config import Scalar
from hpo.data.dataset import CLASS_NAMES
from hpo.space.records import params_text
from hpo.stats import Interval, PairComparison
from hpo.study.summary import Configuration

SHARES: Final = {
    "accuracy": "accuracy",
    "balanced accuracy": "balanced_accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
"""The metrics shown in percent, by displayed name."""

NUMBERS: Final = {
    "AUROC": "auroc",
    "Brier score": "brier",
    "log loss": "log_loss",
    "calibration error": "calibration_error",
}
"""The metrics shown as plain numbers, by displayed name."""

GAPS: Final = ("accuracy", "auroc")

Confusion: TypeAlias = tuple[tuple[int, ...], ...]
"""Images by true class (rows) and predicted class (columns), summed over the repeats."""


def n_right(confusion: Confusion) -> int:
    """Return the number of correct predictions."""
    return sum(row[label] for label, row in enumerate(confusion))


@dataclass(frozen=True, kw_only=True)
class Roc:
    """Sensitivity by false positive rate: mean, lowest and highest of the repeats."""

    false_alarms: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Predictions of all repeats whose probability lies in one tenth of 0 to 1.

    With more than two classes: the probability of the predicted class, and how often it is right.
    """

    predicted: float
    observed: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The mean probability of `n` repeats as one model; intervals cover other patients only."""

    n: int
    threshold: float
    metrics: Mapping[str, Interval]
    n_right: int
    confusion: Confusion


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One configuration on the test: means over its repeats, with intervals.

    `name` is short: the parameters in a grid, `#3` for the third configuration of a search.
    `thresholds` has one per trial, `n_right` is the mean number of correct predictions,
    `confusion` a sum. `gap` is validation minus test. `roc` is None for more than two classes.
    `notes` are sentences on gap and threshold, `signs` the warnings. `ensemble` is None for one
    repeat. A logistic regression has no trials; `above_regression` is the metric of the study, on
    unchanged images, minus that of the regression in the repeats that both have.
    """

    name: str
    value: Scalar
    params: Mapping[str, Scalar]
    trials: tuple[int, ...]
    thresholds: tuple[float, ...]
    metrics: Mapping[str, Interval]
    n_right: float
    confusion: Confusion
    gap: Mapping[str, Interval]
    roc: Roc | None
    calibration: tuple[CalibrationBin, ...]
    notes: tuple[str, ...]
    signs: tuple[str, ...]
    # Older evaluations lack these.
    ensemble: Ensemble | None = None
    above_regression: Interval | None = None

    @property
    def label(self) -> str:
        """The parameters in words: `batch_size 32`."""
        return params_text(self.params)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One opening of the test: every evaluated configuration, and their comparison.

    `threshold` is the rule as typed. `classes` counts the test images of each class. `pairs`
    compares test accuracies. `regression` is a logistic regression, fitted on the folds of the
    best configuration.
    """

    study: str
    threshold: str
    n_images: int
    classes: Mapping[str, int]
    n_patients: int
    configurations: tuple[Evaluated, ...]
    pairs: tuple[PairComparison, ...]
    notes: tuple[str, ...]
    # Older evaluations lack it.
    regression: Evaluated | None = None

    def __repr__(self) -> str:
        n = len(self.configurations)
        return f"<Evaluation of {self.study}: {n} configurations on {self.n_images} test images>"

    @property
    def trials(self) -> set[int]:
        """The numbers of all evaluated trials."""
        return {trial for evaluated in self.configurations for trial in evaluated.trials}

    def of(self, configuration: Configuration | None) -> Evaluated | None:
        """Return the result of the trainings that a configuration is judged by, None without one.

        A search training, or fewer repeats, are other networks than those that are delivered.
        """
        trials = {repeat.trial for repeat in configuration.judged} if configuration else set()
        return next((c for c in self.configurations if trials == set(c.trials)), None)


_ADAPTER: Final = TypeAdapter(Evaluation)


def to_document(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain data, for JSON output and for the study."""
    document = _ADAPTER.dump_python(evaluation, mode="json", by_alias=True)
    document |= {"verdict": {"pairs": document.pop("pairs")}, "notes": document.pop("notes")}
    return dict(document)


def from_document(document: Mapping[str, Any]) -> Evaluation:
    """Read an evaluation that `to_document` wrote.

    Raises:
        ValueError: a value is invalid.
        LookupError, TypeError: the document as a whole is invalid.
    """
    document = {**document, "pairs": document["verdict"]["pairs"]}
    if "classes" not in document:  # Older evaluations have two classes and name each count.
        counts = (document["n_normal"], document["n_pneumonia"])
        document["classes"] = dict(zip(CLASS_NAMES, counts, strict=True))
        document["configurations"] = [_with_matrix(one) for one in document["configurations"]]
    return _ADAPTER.validate_python(document)


def _with_matrix(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return an older document of a configuration or an ensemble with its confusion as rows."""
    n = one["confusion"].get("sum", one["confusion"])
    rows = (n["true_negative"], n["false_positive"]), (n["false_negative"], n["true_positive"])
    ensemble = one.get("ensemble")
    return {**one, "confusion": rows, "ensemble": ensemble and _with_matrix(ensemble)}
