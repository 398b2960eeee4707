"""From what an engine measures to what the run store keeps and a study is told."""

from dataclasses import asdict

from hpo.storage.runs import Epoch, Run
from hpo.study.record import versions
from hpo.study.score import Score
from hpo.training.engine import EpochMetrics, TrainingResult


def epoch_score(score: Score, epoch: Epoch) -> float | None:
    """Return the score of an epoch; None where the stress battery was not read."""
    return score.of(epoch.validation, {"mean": epoch.stress} if epoch.stress else {})


def to_run(result: TrainingResult) -> Run:
    """Return what the run store keeps of a finished training: all but its weights."""
    return Run(
        epochs=tuple(to_epoch(metrics) for metrics in result.epochs),
        kept_epoch=result.kept_epoch,
        train=asdict(result.train),
        validation_probabilities=tuple(map(float, result.validation_probabilities)),
        test_probabilities=tuple(map(float, result.test_probabilities)),
        seconds=result.seconds,
        versions=versions(),
        stress={name: asdict(metrics) for name, metrics in result.stress.items()},
    )


def to_epoch(metrics: EpochMetrics) -> Epoch:
    """Return what the run store keeps of an epoch."""
    return Epoch(
        learning_rate=metrics.learning_rate,
        train=asdict(metrics.train),
        validation=asdict(metrics.validation),
        stress=asdict(metrics.stress) if metrics.stress else {},
    )
