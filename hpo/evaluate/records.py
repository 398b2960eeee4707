"""What an opened test says of a study."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hpo.config import Scalar
from hpo.space.records import params_text
from hpo.stats import Interval, PairComparison
from hpo.study.summary import Configuration

SHARES: Final = {
    "accuracy": "accuracy",
    "balanced accuracy": "balanced_accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
"""What a reader calls the metrics that are told in percent."""

NUMBERS: Final = {
    "AUROC": "auroc",
    "Brier score": "brier",
    "calibration error": "calibration_error",
}
"""What a reader calls the metrics that are told as they are."""

METRICS: Final = (*SHARES.values(), *NUMBERS.values())
GAPS: Final = ("accuracy", "auroc")


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Answers by truth, counted over all repeats; positive is pneumonia."""

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int

    @property
    def n_right(self) -> int:
        """The number of right answers."""
        return self.true_positive + self.true_negative


@dataclass(frozen=True, kw_only=True)
class Roc:
    """The ROC curve: for each share of normal images called ill, the sensitivity.

    Mean, lowest and highest over the repeats.
    """

    false_alarms: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Answers of all repeats whose probability lies in one tenth of 0 to 1."""

    predicted: float
    observed: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The mean probability of `n` repeats on the test, taken as one model.

    Intervals tell what other patients would change, and not what other trainings would.
    """

    n: int
    threshold: float
    metrics: Mapping[str, Interval]
    confusion: Confusion

    @property
    def n_right(self) -> int:
        """The right answers."""
        return self.confusion.n_right


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One configuration on the test: means over its repeats, with intervals.

    `name` is short: the parameters of a grid, `#3` for the third configuration of a search.
    `thresholds` has one per trial. `gap` holds validation minus test. `notes` are sentences on
    gap and threshold, `signs` those of a broken model. One repeat makes no `ensemble`.
    """

    name: str
    value: Scalar
    params: Mapping[str, Scalar]
    trials: tuple[int, ...]
    thresholds: tuple[float, ...]
    metrics: Mapping[str, Interval]
    gap: Mapping[str, Interval]
    confusion: Confusion
    roc: Roc
    calibration: tuple[CalibrationBin, ...]
    notes: tuple[str, ...]
    signs: tuple[str, ...]
    ensemble: Ensemble | None

    @property
    def label(self) -> str:
        """The parameters in words: `batch_size 32`."""
        return params_text(self.params)

    @property
    def n_right(self) -> float:
        """The right answers of one repeat, on average."""
        return self.confusion.n_right / len(self.trials)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One opening of the test: every configuration that was evaluated, and what is between them.

    `threshold` is the rule as it was typed. `pairs` compares test accuracies.
    """

    study: str
    threshold: str
    n_normal: int
    n_pneumonia: int
    n_patients: int
    configurations: tuple[Evaluated, ...]
    pairs: tuple[PairComparison, ...]
    notes: tuple[str, ...]

    @property
    def n_images(self) -> int:
        """The number of test images."""
        return self.n_normal + self.n_pneumonia

    def of(self, configuration: Configuration | None) -> Evaluated | None:
        """Return what was found of a configuration of the study, None where it was not opened."""
        trials = {repeat.trial for repeat in configuration.repeats} if configuration else set()
        return next((c for c in self.configurations if trials.issuperset(c.trials)), None)

    @property
    def trials(self) -> set[int]:
        """The numbers of all trials whose answers were read."""
        return {trial for evaluated in self.configurations for trial in evaluated.trials}
