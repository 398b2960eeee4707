"""What is on record of a finished training: its run file, or what its trial holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from hpo.runs import Run, RunStore
from hpo.summary import Configuration, Repeat

LossName: TypeAlias = Literal["loss", "log_loss"]

_LOSS_FIELDS: Final = ("loss", "focal_gamma", "label_smoothing")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One training: validation accuracy and loss of every epoch, both splits at the kept epoch.

    `train` and `validation` hold the metrics of the kept weights in evaluation mode, `accuracy`
    is theirs on validation. Where the run file is gone `losses` is empty, and so is `accuracies`
    unless accuracy is what the study optimizes: a trial holds the score of its epochs alone.
    """

    accuracy: float | None
    accuracies: tuple[float, ...]
    losses: tuple[float, ...]
    train: Mapping[str, float]
    validation: Mapping[str, float]
    loss_name: LossName

    @property
    def accuracy_gap(self) -> float | None:
        """Training minus validation accuracy."""
        return _difference(self.train.get("accuracy"), self.validation.get("accuracy"))

    @property
    def loss_gap(self) -> float | None:
        """Validation minus training loss."""
        name = self.loss_name
        return _difference(self.validation.get(name), self.train.get(name))


def evidence(repeat: Repeat, runs: RunStore, *, loss_name: LossName) -> Evidence | None:
    """Return what is on record of a repeat; None where it is not finished."""
    if repeat.score is None:
        return None
    run = runs.read(repeat.run) if repeat.run else None
    return of_trial(repeat, loss_name=loss_name) if run is None else of_run(run, loss_name)


def of_run(run: Run, loss_name: LossName = "loss") -> Evidence:
    """Return what a run file says."""
    return Evidence(
        accuracy=run.kept.validation["accuracy"],
        accuracies=tuple(epoch.validation["accuracy"] for epoch in run.epochs),
        losses=tuple(epoch.validation[loss_name] for epoch in run.epochs),
        train=run.train,
        validation=run.kept.validation,
        loss_name=loss_name,
    )


def of_trial(repeat: Repeat, *, loss_name: LossName) -> Evidence:
    """Return what is left of a training whose run file is gone."""
    return Evidence(
        accuracy=repeat.accuracy,
        accuracies=repeat.accuracies,
        losses=(),
        train=repeat.metrics.get("train", {}),
        validation=repeat.metrics.get("validation", {}),
        loss_name=loss_name,
    )


def common_loss(configurations: Sequence[Configuration]) -> LossName:
    """Return which loss can be compared: their own, or the log loss where they have several."""
    own = {
        tuple((n, getattr(c.config, n)) for n in _LOSS_FIELDS if n in c.config.active_fields())
        for c in configurations
    }
    return "loss" if len(own) == 1 else "log_loss"


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
