"""What the runs of a sweep say: differences and intervals, measure by measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from hpo.config import Scalar
from hpo.evaluate import Evaluated, Evaluation
from hpo.evaluate.learning_curves import LearningCurves
from hpo.stats import Interval, PairComparison, ScoreKind, compare_sweep
from hpo.study.summary import Configuration, StudySummary
from studies.results.claims import (
    CONVERGENCE,
    FLUCTUATION,
    GAP,
    TEST,
    TRAINING_LOSS,
    VALIDATION,
    VALIDATION_LOSS,
    Evidence,
    Verdict,
    check,
)
from studies.results.reports import Sweep

_LOSS: Final = ScoreKind("minimize", is_share=False)
_CURVES: Final = {
    "epochs_to_target": CONVERGENCE,
    "fluctuation": FLUCTUATION,
    "accuracy_gap": GAP,
}
_LOSSES: Final[tuple[tuple[Literal["train", "validation"], str], ...]] = (
    ("train", TRAINING_LOSS.name),
    ("validation", VALIDATION_LOSS.name),
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """A sweep with everything that is known of it. `evaluation` is None while it is sealed."""

    sweep: Sweep
    summary: StudySummary
    evaluation: Evaluation | None
    curves: LearningCurves | None
    verdicts: tuple[Verdict, ...]
    versions: tuple[Mapping[str, str], ...]

    @property
    def pairs(self) -> tuple[PairComparison, ...]:
        """What validation says of each pair of values."""
        return self.summary.verdict.pairs if self.summary.verdict else ()

    @property
    def test_pairs(self) -> tuple[PairComparison, ...]:
        """What the test says of each pair of values."""
        return self.evaluation.pairs if self.evaluation else ()

    def tested(self, configuration: Configuration) -> Evaluated | None:
        """Return what the test says of a configuration."""
        found = self.evaluation.configurations if self.evaluation else ()
        return next((e for e in found if e.value == configuration.value), None)


def conclude(
    sweep: Sweep,
    summary: StudySummary,
    *,
    evaluation: Evaluation | None,
    curves: LearningCurves | None,
    versions: Sequence[Mapping[str, str]] = (),
) -> Result:
    """Check what a report claims against what its sweep gave here."""
    evidence = gather(summary, evaluation, curves)
    return Result(
        sweep=sweep,
        summary=summary,
        evaluation=evaluation,
        curves=curves,
        verdicts=tuple(check(claim, evidence) for claim in sweep.claims),
        versions=tuple(versions),
    )


def gather(
    summary: StudySummary, evaluation: Evaluation | None, curves: LearningCurves | None
) -> Evidence:
    """Return the comparisons and intervals of every measure that is known."""
    pairs: dict[str, Sequence[PairComparison]] = {}
    values: dict[str, Mapping[Scalar, Interval]] = {}
    if summary.verdict:
        pairs[VALIDATION.name] = summary.verdict.pairs
        values[VALIDATION.name] = {c.value: c.score for c in summary.configurations if c.score}
    for split, name in _LOSSES:
        pairs[name] = _loss_pairs(summary, split)
    if evaluation:
        pairs[TEST.name] = evaluation.pairs
        values[TEST.name] = {e.value: e.metrics["accuracy"] for e in evaluation.configurations}
    for one in curves.comparisons if curves else ():
        if measure := _CURVES.get(one.measure.name):
            pairs[measure.name] = one.pairs
            values[measure.name] = one.intervals
    return Evidence(pairs=pairs, values=values)


def _loss_pairs(
    summary: StudySummary, split: Literal["train", "validation"]
) -> tuple[PairComparison, ...]:
    """Compare the log loss of the kept weights, which losses of different kinds have in common."""
    losses = {c.value: _losses(c, split) for c in summary.configurations}
    return compare_sweep(losses, overlap=summary.record.data.overlap, kind=_LOSS).pairs


def _losses(configuration: Configuration, split: str) -> list[float | None]:
    by_repeat = {r.repeat: r.metrics.get(split, {}).get("log_loss") for r in configuration.repeats}
    return [by_repeat.get(i) for i in range(max(by_repeat, default=-1) + 1)]
