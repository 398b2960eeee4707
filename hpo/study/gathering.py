"""Reading a study and gathering its trials by configuration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.choices import ScoredWeights
from hpo.config import Scalar, TrainingConfig
from hpo.errors import HpoError, StudyError
from hpo.stats import PairComparison
from hpo.storage.database import Database
from hpo.storage.lock import driver_of
from hpo.storage.opening import open_storage, url_of
from hpo.storage.paths import runs_folder, study_folder
from hpo.storage.runs import RunStore, is_digest
from hpo.storage.url import DEFAULT_URL
from hpo.study import study as studies
from hpo.study.intervals import compare, mean_score
from hpo.study.progress import SearchProgress, all_cells, choose_finalists
from hpo.study.record import Goal, StudyRecord
from hpo.study.summary import Configuration, Finalists, Repeat, State, StudySummary
from hpo.study.test_access import read_openings
from hpo.study.trials import read_trials

_STATES: Final[dict[TrialState, State]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
_Make: TypeAlias = Callable[[TrainingConfig, Sequence[FrozenTrial]], Configuration]


@dataclass(frozen=True, kw_only=True)
class StoredStudy:
    """An existing study, with its run store and its folder for page, weights and exports."""

    study: optuna.Study
    summary: StudySummary
    runs: RunStore
    folder: Path


def read_study(
    name: str,
    storage: str = DEFAULT_URL,
    *,
    moved_data: Path | None = None,
    margin: float | None = None,
    weights: ScoredWeights | None = None,
) -> StoredStudy:
    """Read an existing study; record the new path of its data if given.

    `name` may be the start of its name, its number in `hpo show`, or `latest`. `margin` replaces
    the recorded smallest difference, and `weights` the weights whose scores are compared.

    Raises:
        StudyError: no study has this name.
        StorageError: the database cannot be read.
        DataError: the data are not at `moved_data`, or differ.
    """
    if moved_data is not None:
        studies.move_data(name, storage, moved_data)
    opened = open_storage(storage, create=False)
    study, runs = studies.open_study(opened, name), RunStore(runs_folder(storage))
    summary = summarize(study, runs=runs, margin=margin, weights=weights)
    if summary.count("running"):  # The driver may be running or killed.
        summary = replace(summary, driver=driver_of(opened, study.study_name))
    return StoredStudy(
        study=study, summary=summary, runs=runs, folder=study_folder(storage, study.study_name)
    )


def summarize(
    study: optuna.Study,
    *,
    runs: RunStore | None = None,
    margin: float | None = None,
    weights: ScoredWeights | None = None,
    compares: bool = True,
) -> StudySummary:
    """Read a study and gather its trials by configuration, in their order of creation.

    With `runs`, configurations are compared by their runs in the run store. `margin` replaces the
    recorded smallest difference that matters, and `weights` the weights whose scores are compared.
    Without `compares`, means have no interval, because importing SciPy would double the time of a
    list of studies.

    Raises:
        StudyError: hpo did not create it, or it is damaged.
        StorageError: the database cannot be read.
    """
    record, goal = studies.read_record(study), studies.read_goal(study)
    baselines = studies.read_baselines(study)
    record, openings = record.judged_by(margin, weights), read_openings(study)
    all_trials = read_trials(study, record)
    is_grid = record.kind == "grid"
    try:
        cells = spaces.cells(record.space, record.names) if is_grid else []
    except HpoError as problem:
        raise studies.damaged(study, "hpo", problem) from None
    of_reports = [t for t in all_trials.own if t.user_attrs.get("report")]
    trials = [t for t in all_trials.own if not t.user_attrs.get("report")]
    order = {cell.config.identity(): i for i, cell in enumerate(cells)}
    make = partial(_configuration, record=record, goal=goal, has_interval=compares)
    by_identity = _gather(trials, make, order=order)
    configurations = tuple(by_identity.values())
    finalists = _finalists(by_identity, trials, record, goal, runs, compares=compares)
    reports = dict(sorted(_gather(of_reports, make, order={}).items()))
    if is_grid:
        # Open trainings are running, waiting, or not yet in the study.
        repeats = [r for c in configurations for r in c.repeats]
        n_there = sum(r.repeat < goal.n_repeats for r in repeats)
        n_open = sum(r.state in ("running", "waiting") for r in repeats)
        n_open += max(0, len(cells) * goal.n_repeats - n_there)
        named = {c.value: c for c in configurations if compares}
        lacks = bool(n_open) and goal.n_repeats > 1
        verdict = compare(named, record, runs=runs, n_looks=goal.n_looks, is_unfinished=lacks)
    else:
        verdict = None
        n_open = SearchProgress(all_trials, record, goal, all_cells(record, goal)).n_left
    surplus = [] if n_open else [trial.number for trial, _ in all_trials.enqueued]
    page = study_folder(url_of(study), study.study_name) / "report.html"
    return StudySummary(
        name=study.study_name,
        url=url_of(study),
        record=record,
        goal=goal,
        baselines=baselines,
        baseline_scores=studies.read_baseline_scores(study),
        configurations=configurations,
        verdict=verdict,
        finalists=finalists,
        reports=reports,
        report_pairs=_report_pairs(reports, finalists, record, goal, runs) if compares else (),
        openings=openings,
        processors=studies.read_processors(study),
        begun=min((t.datetime_start for t in all_trials.own if t.datetime_start), default=None),
        damaged=tuple(all_trials.damaged),
        report=str(page) if page.is_file() else None,
        n_open=n_open,
        foreign=tuple(all_trials.foreign),
        left_alone=tuple(sorted({*all_trials.left_alone, *surplus})),
    )


def summarize_all(
    storage: Database, *, compares: bool = True
) -> tuple[dict[int, StudySummary], dict[str, str], int]:
    """Read every study of hpo by its number among all studies, oldest first, like `summarize`.

    Also return the faults of unreadable studies, by name, and the number of studies that other
    programs created.
    """
    summaries, unreadable, n_foreign = {}, {}, 0
    for number, name in enumerate(storage.study_names(), start=1):
        try:
            study = optuna.load_study(study_name=name, storage=storage)
            if studies.is_of_hpo(study):
                summaries[number] = summarize(study, compares=compares)
            else:
                n_foreign += 1
        except StudyError as error:
            unreadable[name] = str(error)
    return summaries, unreadable, n_foreign


def _gather(
    trials: Sequence[FrozenTrial], make: _Make, *, order: Mapping[str, int]
) -> dict[str, Configuration]:
    """Return configurations by identity, course networks by name, as ordered or by ordinal."""
    read: dict[str, tuple[str, TrainingConfig]] = {}
    by_name: dict[str, tuple[TrainingConfig, list[FrozenTrial]]] = {}
    for trial in trials:
        # Reading a configuration is slower than looking up one that was read before.
        text = str(trial.user_attrs["config"])
        if text not in read:
            config = TrainingConfig.from_mapping(trial.user_attrs["config"])
            read[text] = config.identity(), config
        identity, config = read[text]
        name = trial.user_attrs.get("report") or identity
        by_name.setdefault(name, (config, []))[1].append(trial)
    made = {name: make(*parts) for name, parts in by_name.items()}
    ordered = sorted(made, key=lambda name: (order.get(name, len(order)), made[name].number))
    return {name: made[name] for name in ordered}


def _configuration(
    config: TrainingConfig,
    trials: Sequence[FrozenTrial],
    *,
    record: StudyRecord,
    goal: Goal,
    has_interval: bool,
) -> Configuration:
    # One trial per repeat: prefer a complete one, then a later one.
    latest: dict[int, Repeat] = {}
    for repeat in (_repeat(trial, record) for trial in trials):
        if repeat.repeat not in latest or latest[repeat.repeat].state != "complete":
            latest[repeat.repeat] = repeat
    repeats = tuple(latest[i] for i in sorted(latest))
    # A grid has no finalists: all its repeats count equally.
    n_searched = goal.n_repeats if goal.n_finalists else 1 + max(latest)
    of_search = [r for r in repeats if r.repeat < n_searched]
    mean = partial(mean_score, record=record, has_interval=has_interval)
    return Configuration(
        number=1 + min(trial.user_attrs["ordinal"] for trial in trials),
        params=trials[0].user_attrs["params"],
        n_varied=len(record.names),
        config=config,
        state=_state(of_search, goal.n_repeats),
        score=mean(of_search),
        fresh=mean([r for r in repeats if r.repeat >= n_searched]),
        repeats=repeats,
        n_searched=n_searched,
    )


def _repeat(trial: FrozenTrial, record: StudyRecord) -> Repeat:
    attributes, reported = trial.user_attrs, dict(sorted(trial.intermediate_values.items()))
    state, run = _STATES[trial.state], attributes.get("run")
    return Repeat(
        trial=trial.number,
        repeat=attributes["repeat"],
        seed=attributes["seed"],
        fold=attributes["fold"],
        state=state,
        score=trial.value if state == "complete" else None,
        reported=reported,
        accuracies=tuple(reported.values()) if record.metric == "accuracy" else (),
        n_epochs=attributes.get("n_epochs", max(reported, default=0)),
        seconds=attributes.get("seconds"),
        is_reused=bool(attributes.get("is_reused", False)),
        run=run if is_digest(run) else None,
        reason=attributes.get("reason"),
        metrics=attributes.get("metrics", {}),
    )


def _state(repeats: Sequence[Repeat], n_repeats: int) -> State:
    states = {r.state for r in repeats}
    unfinished: tuple[State, ...] = ("running", "pruned", "failed", "waiting")
    default: State = "complete" if len(repeats) >= n_repeats else "waiting"
    return next((state for state in unfinished if state in states), default)


def _finalists(
    configurations: Mapping[str, Configuration],
    trials: Sequence[FrozenTrial],
    record: StudyRecord,
    goal: Goal,
    runs: RunStore | None,
    *,
    compares: bool,
) -> Finalists | None:
    """Compare the finalists by their new repeats; None while one of these is missing."""
    chosen = {job.config.identity() for job in choose_finalists(trials, record, goal)}
    retrained = [c for identity, c in configurations.items() if identity in chosen]
    for configuration in retrained:
        fresh = [r for r in configuration.repeats if r.repeat >= goal.n_repeats]
        if sum(r.state in ("complete", "failed") for r in fresh) < goal.n_final_repeats:
            return None
    ranked = [
        (record.shortfall(r.metrics for r in c.judged), -record.score.rank(c.fresh.mean), c)
        for c in retrained
        if c.searched is not None and c.fresh
    ]
    members = [c for *_, c in sorted(ranked, key=lambda item: item[:2])]
    if not members:
        return None
    compared: dict[Scalar, Configuration] = {c.tag: c for c in members if compares}
    verdict = compare(compared, record, runs=runs, first=goal.n_repeats)
    return Finalists(members=tuple(members), verdict=verdict)


def _report_pairs(
    reports: Mapping[str, Configuration],
    finalists: Finalists | None,
    record: StudyRecord,
    goal: Goal,
    runs: RunStore | None,
) -> tuple[PairComparison, ...]:
    """Compare the winner with each course network by their equal repeats."""
    if not finalists or not reports:
        return ()
    compared: dict[Scalar, Configuration] = {"the winner": finalists.winner}
    compared.update(reports)
    pairs = [("the winner", name) for name in reports]
    return compare(compared, record, runs=runs, first=goal.n_repeats, pairs=pairs).pairs
