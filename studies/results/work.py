"""Every sweep to its end; then its test, opened on record, and its claims, checked."""

import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from hpo.cli.work import train
from hpo.evaluate.learning_curves import LearningCurves, compare_curves
from hpo.evaluate.records import Evaluation
from hpo.evaluate.test import check_test, open_test
from hpo.run.plan import Plan, Settings, plan_grid
from hpo.run.session import open_session
from hpo.stats import (
    Interval,
    PairComparison,
    ScoreKind,
    SweepComparison,
    compare_sweep,
    headline,
)
from hpo.stats.sentences import label
from hpo.storage.opening import quiet_optuna
from hpo.storage.runs import RunStore
from hpo.study.gathering import read_study
from hpo.study.summary import Configuration, StudySummary, sentences
from hpo.training.engine import NUMERICS_VERSION
from hpo.views.evaluations import classes_text
from studies.results.claims import (
    CONVERGENCE,
    FLUCTUATION,
    GAP,
    TEST,
    TRAINING_LOSS,
    VALIDATION,
    VALIDATION_LOSS,
    check,
)
from studies.results.figures import (
    Checked,
    Curves,
    Figures,
    Result,
    Search,
    Value,
    Verdict,
    Weights,
)
from studies.results.markdown import NONE, estimate, test_cells
from studies.results.reports import Sweep

SEARCH: Final = {"trials": 50, "finalists": 5, "final_repeats": 5, "with_baselines": True}

_COMMAND: Final = "python -m studies.results"
_CURVES: Final = {
    "epochs_to_target": ("Convergence", CONVERGENCE),
    "fluctuation": ("Steadiness", FLUCTUATION),
    "accuracy_gap": ("Overfitting", GAP),
}


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


def finish(tasks: Sequence[tuple[Sweep, Plan]], search: Plan | None = None) -> Figures:
    """Train what is missing and open the tests, sweep by sweep; then the same of the search.

    Each is a study in the database: what is trained is not trained again.

    Raises:
        HpoError: a sweep cannot be trained or evaluated.
    """
    quiet_optuna()
    results: list[Result] = []
    devices: set[str] = set()
    versions: dict[str, set[str]] = {}
    n_test = ""
    for number, (sweep, plan) in enumerate(tasks, start=1):
        title = f"{sweep.key}, {number} of {len(tasks)}"
        summary, evaluation, runs = _finish(plan, title)
        of_last = read_study(plan.name, plan.settings.storage, weights="last").summary
        verdicts: dict[Weights, SweepComparison | None] = {
            "average": summary.verdict,
            "last": of_last.verdict,
        }
        curves = compare_curves(summary, runs)
        found = conclude(sweep, summary, verdicts, evaluation=evaluation, curves=curves)
        results.append(found)
        devices.add(f"{summary.record.device} {summary.record.precision}")
        for name in [r.run for c in summary.configurations for r in c.repeats if r.run]:
            run = runs.read(name)
            for library, version in run.versions.items() if run else ():
                versions.setdefault(library, set()).add(version)
        if evaluation:
            n_test = (
                f"; {classes_text(evaluation.classes)} test "
                f"images of {evaluation.n_patients} patients"
            )
    data = tasks[0][1].record.data
    n_images = data.n_train + data.n_validation
    return Figures(
        data=data.name,
        is_phantom=data.is_phantom,
        images=f"{n_images:,} images in five folds by patient and class{n_test}",
        fingerprint=data.fingerprint,
        devices=tuple(sorted(devices)),
        versions={name: tuple(sorted(found)) for name, found in sorted(versions.items())},
        numerics=NUMERICS_VERSION,
        results=tuple(results),
        search=_search(*_finish(search, "the default search")[:2]) if search else None,
    )


def _finish(plan: Plan, title: str) -> tuple[StudySummary, Evaluation | None, RunStore]:
    """Train what a study lacks, and open its test if nothing is missing then."""
    print(title, file=sys.stderr, flush=True)
    with open_session(plan) as session:
        train(session, is_quiet=False)
        summary, evaluation = session.summary(), None
        is_grid = summary.record.kind == "grid"
        if not is_grid or all(c.state == "complete" for c in summary.configurations):
            evaluation = open_test(session.study, command=_COMMAND, dataset=plan.dataset)
        return summary, evaluation, session.runs


def conclude(
    sweep: Sweep,
    summary: StudySummary,
    verdicts: Mapping[Weights, SweepComparison | None],
    *,
    evaluation: Evaluation | None,
    curves: LearningCurves | None,
) -> Result:
    """Check what a report claims, of the last weights, against what its sweep gave here."""
    every = summary.configurations
    pairs: dict[str, Sequence[PairComparison]] = {}
    intervals: dict[str, Mapping[Hashable, Interval]] = {}
    if of_last := verdicts.get("last"):
        pairs[VALIDATION.name] = of_last.pairs
        intervals[VALIDATION.name] = {c.value: c.score for c in every if c.score}
    for split, measure in (("train", TRAINING_LOSS), ("validation", VALIDATION_LOSS)):
        losses = {c.value: _log_losses(c, split) for c in every}
        kind = ScoreKind("minimize", is_share=False, margin=measure.margin)
        found = compare_sweep(losses, overlap=summary.record.data.overlap, kind=kind)
        pairs[measure.name] = found.pairs
    if evaluation:
        pairs[TEST.name] = evaluation.pairs
        intervals[TEST.name] = {e.value: e.metrics["accuracy"] for e in evaluation.configurations}
    for one in curves.comparisons if curves else ():
        if one.name in _CURVES:
            name = _CURVES[one.name][1].name
            pairs[name], intervals[name] = one.pairs, one.intervals
    outcomes = ((claim, check(claim, pairs, intervals)) for claim in sweep.claims)
    return Result(
        key=sweep.key,
        n_repeats=summary.goal.n_repeats,
        seconds=sum(r.seconds or 0.0 for c in every for r in c.repeats),
        values=tuple(_value(c, evaluation) for c in every),
        verdicts={
            weights: Verdict(
                headline=headline(comparison, sweep.name),
                pairs=comparison.pairs,
                means={label(value): mean for value, mean in comparison.values.items()},
                basis=comparison.basis,
            )
            for weights, comparison in verdicts.items()
            if comparison
        },
        test_pairs=evaluation.pairs if evaluation else (),
        claims=tuple(
            Checked(text=claim.text, outcome=outcome, grounds=grounds)
            for claim, (outcome, grounds) in outcomes
        ),
        curves=_curves(curves) if curves else None,
        baselines={n: found["accuracy"] for n, found in summary.baselines.items()},
    )


def _value(configuration: Configuration, evaluation: Evaluation | None) -> Value:
    tested = evaluation.of(configuration) if evaluation else None
    failed = [r for r in configuration.repeats if r.state == "failed"]
    reasons = dict.fromkeys((r.reason or "the reason is not known").rstrip(".") for r in failed)
    about = f"{len(failed)} of {len(configuration.repeats)} repeats failed: {'; '.join(reasons)}"
    return Value(
        label=label(configuration.value),
        identity=configuration.config.identity(),
        score=configuration.score,
        scores=configuration.scores,
        n_failed=len(failed),
        failures=about if failed else "",
        test=tested.metrics if tested else {},
        gap=tested.gap if tested else {},
        notes=tested.notes if tested else (),
        signs=tested.signs if tested else (),
    )


def _log_losses(configuration: Configuration, split: str) -> list[float | None]:
    """Return the log loss of the kept weights, which all losses have in common, by repeat."""
    by_repeat = {r.repeat: r.metrics.get(split, {}).get("log_loss") for r in configuration.repeats}
    return [by_repeat.get(i) for i in range(max(by_repeat, default=-1) + 1)]


def _curves(found: LearningCurves) -> Curves:
    rows = []
    for one in found.comparisons:
        cells = (
            f"{mean} ({'; '.join(bounds)})" if bounds else mean for mean, *bounds in one.cells
        )
        rows.append((one.heading, *cells))
    largest = {
        _CURVES[one.name][0]: max(real, key=lambda pair: abs(pair.difference or 0.0)).sentence
        for one in found.comparisons
        if one.name in _CURVES and (real := [pair for pair in one.pairs if pair.is_real])
    }
    return Curves(
        header=("curves", *found.names),
        rows=tuple(rows),
        said=(*found.outcome, *found.about),
        largest=largest,
    )


def _search(summary: StudySummary, evaluation: Evaluation | None) -> Search | None:
    """Return what the default search found, beside the bases of the reports."""
    if evaluation is None:
        return None
    bases = summary.reports
    rows = []
    for one in evaluation.configurations:
        configuration = bases.get(one.name, summary.best)
        score = configuration.judged_score if configuration else None
        name = one.name if one.name in bases else f"the winner, {one.name}"
        rows.append((name, estimate(score), *test_cells(one.metrics)))
    if ensemble := evaluation.configurations[0].ensemble:
        rows.insert(1, (f"its ensemble of {ensemble.n}", NONE, *test_cells(ensemble.metrics)))
    return Search(
        command=f"hpo search --trials {SEARCH['trials']} --with-baselines",
        title=summary.record.score.title,
        n_configurations=len(summary.configurations),
        rows=tuple(rows),
        said=(*sentences(summary), *(pair.sentence for pair in evaluation.pairs)),
    )
