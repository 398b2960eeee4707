"""Every sweep to its end; then its test, opened on record, and its claims, checked."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hpo.cli.work import train
from hpo.config import Scalar
from hpo.evaluate import Evaluated, Evaluation, check_test, open_test
from hpo.evaluate.learning_curves import LearningCurves, compare_curves
from hpo.run.plan import Plan, SearchSettings, Settings, plan_grid
from hpo.run.session import open_session
from hpo.stats import Interval, PairComparison, ScoreKind, compare_sweep
from hpo.storage.opening import open_storage, quiet_optuna
from hpo.storage.paths import runs_folder
from hpo.storage.runs import RunStore
from hpo.study import study as studies
from hpo.study.gathering import summarize
from hpo.study.summary import Configuration, StudySummary
from studies.results.claims import (
    CONVERGENCE,
    FLUCTUATION,
    GAP,
    TEST,
    TRAINING_LOSS,
    VALIDATION,
    VALIDATION_LOSS,
    Verdict,
    check,
)
from studies.results.reports import Sweep

SEARCH = SearchSettings(trials=50, finalists=5, final_repeats=5, with_baselines=True)

_COMMAND: Final = "python -m studies.results"
_CURVES: Final = {
    "epochs_to_target": CONVERGENCE,
    "fluctuation": FLUCTUATION,
    "accuracy_gap": GAP,
}


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
        return self.evaluation.of(configuration) if self.evaluation else None


def prepare(sweeps: Sequence[Sweep], settings: Settings) -> list[tuple[Sweep, Plan]]:
    """Check what every sweep needs before anything is trained.

    Raises:
        HpoError: the request or the data cannot be used, or the data have no test.
    """
    tasks = [
        (sweep, plan_grid([sweep.name], replace(settings, space=sweep.space))) for sweep in sweeps
    ]
    check_test(tasks[0][1].dataset)
    return tasks


def finish(tasks: Sequence[tuple[Sweep, Plan]]) -> list[Result]:
    """Train what is missing, sweep by sweep, then open the tests.

    Raises:
        HpoError: a sweep cannot be trained or evaluated.
    """
    quiet_optuna()
    ahead = [(sweep, plan) for sweep, plan in tasks if not _is_complete(plan)]
    for number, (sweep, plan) in enumerate(ahead, start=1):
        print(f"{sweep.key}, {number} of {len(ahead)}", file=sys.stderr, flush=True)
        with open_session(plan) as session:
            train(session, is_quiet=False)
    return [_tell(sweep, plan) for sweep, plan in tasks]


def finish_search(plan: Plan) -> tuple[StudySummary, Evaluation]:
    """Train what a search lacks, then open its test for the winner and the bases.

    Raises:
        HpoError: something cannot be trained or evaluated.
    """
    print("the default search", file=sys.stderr, flush=True)
    with open_session(plan) as session:
        train(session, is_quiet=False)
    storage = open_storage(plan.storage, create=False)
    study = studies.open_study(storage, plan.name)
    evaluation = open_test(study, storage, command=_COMMAND, dataset=plan.dataset)
    return summarize(study, storage_url=storage.url), evaluation


def _is_complete(plan: Plan) -> bool:
    storage = open_storage(plan.storage)
    study = studies.find(storage, plan.name)
    if study is None:
        return False
    every = summarize(study, storage_url=storage.url).configurations
    return bool(every) and all(
        c.state == "complete" and len(c.repeats) >= plan.goal.n_repeats for c in every
    )


def _tell(sweep: Sweep, plan: Plan) -> Result:
    """Open the test of a sweep if it is complete, and say what is known of it."""
    storage = open_storage(plan.storage, create=False)
    study = studies.open_study(storage, plan.name)
    summary = summarize(study, storage_url=storage.url)
    evaluation = None
    if all(c.state == "complete" for c in summary.configurations):
        evaluation = open_test(study, storage, command=_COMMAND, dataset=plan.dataset)
    runs = RunStore(runs_folder(storage.url))
    names = [r.run for c in summary.configurations for r in c.repeats if r.run]
    return conclude(
        sweep,
        summary,
        evaluation=evaluation,
        curves=compare_curves(summary, runs),
        versions=[run.versions for name in names if (run := runs.read(name))],
    )


def conclude(
    sweep: Sweep,
    summary: StudySummary,
    *,
    evaluation: Evaluation | None,
    curves: LearningCurves | None,
    versions: Sequence[Mapping[str, str]] = (),
) -> Result:
    """Check what a report claims against what its sweep gave here."""
    pairs: dict[str, Sequence[PairComparison]] = {}
    values: dict[str, Mapping[Scalar, Interval]] = {}
    if summary.verdict:
        pairs[VALIDATION.name] = summary.verdict.pairs
        values[VALIDATION.name] = {c.value: c.score for c in summary.configurations if c.score}
    for split, measure in (("train", TRAINING_LOSS), ("validation", VALIDATION_LOSS)):
        losses = {c.value: _log_losses(c, split) for c in summary.configurations}
        kind = ScoreKind("minimize", is_share=False, margin=measure.margin)
        found = compare_sweep(losses, overlap=summary.record.data.overlap, kind=kind)
        pairs[measure.name] = found.pairs
    if evaluation:
        pairs[TEST.name] = evaluation.pairs
        values[TEST.name] = {e.value: e.metrics["accuracy"] for e in evaluation.configurations}
    for one in curves.comparisons if curves else ():
        if one.name in _CURVES:
            name = _CURVES[one.name].name
            pairs[name], values[name] = one.pairs, one.intervals
    return Result(
        sweep=sweep,
        summary=summary,
        evaluation=evaluation,
        curves=curves,
        verdicts=tuple(check(claim, pairs, values) for claim in sweep.claims),
        versions=tuple(versions),
    )


def _log_losses(configuration: Configuration, split: str) -> list[float | None]:
    """Return the log loss of the kept weights, which all losses have in common, by repeat."""
    by_repeat = {r.repeat: r.metrics.get(split, {}).get("log_loss") for r in configuration.repeats}
    return [by_repeat.get(i) for i in range(max(by_repeat, default=-1) + 1)]
