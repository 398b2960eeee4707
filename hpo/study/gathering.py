"""Reading a study and gathering its trials by configuration."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.config import Scalar, TrainingConfig
from hpo.errors import HpoError, StudyError
from hpo.search.tpe import SearchProgress, all_cells, choose_finalists
from hpo.search.trials import Trials, read_trials
from hpo.stats import PairComparison
from hpo.storage.opening import Storage, explained, in_command
from hpo.storage.paths import study_folder
from hpo.storage.runs import is_digest
from hpo.storage.url import mask
from hpo.study.intervals import compare, mean_score, with_way_on
from hpo.study.record import Goal, StudyRecord
from hpo.study.study import damaged, is_ours, read_baselines, read_goal, read_record, study_names
from hpo.study.summary import (
    Configuration,
    Finalist,
    Finalists,
    Repeat,
    ReportBase,
    State,
    StudySummary,
)
from hpo.study.test_access import read_openings

_STATES: Final[dict[TrialState, State]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def summarize(study: optuna.Study, *, storage_url: str) -> StudySummary:
    """Read a study and gather its trials by configuration, in the order they were asked for.

    Raises:
        StudyError: it is not one of hpo's.
        StorageError: the database cannot be read.
    """
    with explained(storage_url):
        return _summarize(study, storage_url=storage_url)


def _summarize(study: optuna.Study, *, storage_url: str) -> StudySummary:
    record = read_record(study)
    goal = read_goal(study)
    found = read_trials(study, record)
    every = found.ours
    trials = [t for t in every if not t.user_attrs.get("report")]
    baselines = read_baselines(study)
    try:
        order = _grid_order(record)
    except HpoError as problem:
        raise damaged(study, "hpo", problem) from None
    by_identity = _gather(trials, record, goal, order=order)
    configurations = tuple(by_identity.values())
    verdict = None
    if record.kind == "grid":
        verdict = compare({c.value: c for c in configurations}, record)
    finalists = _finalists(by_identity, trials, record, goal)
    winner = None
    if finalists:
        winner = next(c for c in configurations if c.number == finalists.winner.number)
    page = study_folder(storage_url, study.study_name) / "report.html"
    n_open = (
        _n_of_search(found, record, goal)
        if record.kind == "search"
        else _n_of_grid(configurations, n_cells=len(order), goal=goal)
    )
    if verdict and n_open and goal.n_repeats > 1:
        verdict = with_way_on(verdict, f"hpo resume {in_command(study)}")
    surplus = () if n_open else tuple(trial.number for trial, _ in found.enqueued)
    return StudySummary(
        name=study.study_name,
        storage=mask(storage_url),
        record=record,
        goal=goal,
        baselines=baselines,
        configurations=configurations,
        verdict=verdict,
        finalists=finalists,
        reports=_reports(every, record, goal, winner=winner),
        openings=read_openings(study),
        damaged=found.damaged,
        report=str(page) if page.is_file() else None,
        n_open=n_open,
        foreign=found.foreign,
        left_alone=tuple(sorted({*found.left_alone, *surplus})),
    )


def summarize_all(storage: Storage) -> tuple[list[StudySummary], dict[str, str], int]:
    """Read every study of hpo, the oldest first.

    Beside them stand what is wrong with those that cannot be read, by name, and how many there
    are of other programs.
    """
    summaries, unreadable, n_foreign = [], {}, 0
    for name in study_names(storage):
        with explained(storage.url):
            try:
                study = optuna.load_study(study_name=name, storage=storage.optuna)
                if is_ours(study):
                    summaries.append(summarize(study, storage_url=storage.url))
                else:
                    n_foreign += 1
            except StudyError as error:
                unreadable[name] = str(error)
    return summaries, unreadable, n_foreign


def with_call(summary: StudySummary, *, n_trained: int, n_reused: int) -> StudySummary:
    """Return the summary with what the last call trained and reused."""
    return replace(summary, n_trained=n_trained, n_reused=n_reused)


def _gather(
    trials: Sequence[FrozenTrial], record: StudyRecord, goal: Goal, *, order: Mapping[str, int]
) -> dict[str, Configuration]:
    """Return the configurations by identity, a grid's in its order, others by their ordinals."""
    read: dict[str, tuple[str, TrainingConfig]] = {}
    by_identity: dict[str, tuple[TrainingConfig, list[FrozenTrial]]] = {}
    for trial in trials:
        # To read a configuration takes longer than to find that it was read before.
        text = str(trial.user_attrs["config"])
        if text not in read:
            config = _config(trial)
            read[text] = config.identity(), config
        identity, config = read[text]
        by_identity.setdefault(identity, (config, []))[1].append(trial)
    made = {one: _configuration(*by_identity[one], record, goal) for one in by_identity}
    ordered = sorted(made, key=lambda one: (order.get(one, len(order)), made[one].number))
    return {one: made[one] for one in ordered}


def _config(trial: FrozenTrial) -> TrainingConfig:
    return TrainingConfig.from_mapping(trial.user_attrs["config"])


def _configuration(
    config: TrainingConfig, trials: list[FrozenTrial], record: StudyRecord, goal: Goal
) -> Configuration:
    repeats = tuple(_latest(_repeat(trial, record) for trial in trials))
    # A grid has no finalists: however many repeats it has, all are alike.
    n_searched = goal.n_repeats if goal.n_finalists else 1 + max(r.repeat for r in repeats)
    return Configuration(
        number=1 + min(trial.user_attrs["ordinal"] for trial in trials),
        params=trials[0].user_attrs["params"],
        n_varied=len(record.names),
        config=config,
        state=_state([r for r in repeats if r.repeat < n_searched], goal.n_repeats),
        score=mean_score([r for r in repeats if r.repeat < n_searched], record),
        fresh=mean_score([r for r in repeats if r.repeat >= n_searched], record),
        repeats=repeats,
        n_searched=n_searched,
    )


def _finalists(
    configurations: Mapping[str, Configuration],
    trials: Sequence[FrozenTrial],
    record: StudyRecord,
    goal: Goal,
) -> Finalists | None:
    """Compare the finalists by their fresh repeats; None while a repeat of them is missing."""
    chosen = {job.config.identity() for job in choose_finalists(trials, record, goal)}
    numbered = {c.number: c for identity, c in configurations.items() if identity in chosen}
    if not all(_is_trained_again(c, goal) for c in numbered.values()):
        return None
    members = [
        Finalist(number=number, searched=c.score.mean, fresh=c.fresh)
        for number, c in numbered.items()
        if c.score and c.score.mean is not None and c.fresh
    ]
    if not members:
        return None
    members.sort(key=lambda member: -record.score.rank(member.fresh.mean))
    compared: dict[Scalar, Configuration] = {
        member.label: numbered[member.number] for member in members
    }
    return Finalists(
        members=tuple(members),
        verdict=compare(compared, record, first=goal.n_repeats),
        n_wanted=goal.n_finalists,
        n_repeats=goal.n_final_repeats,
    )


def _reports(
    trials: Sequence[FrozenTrial],
    record: StudyRecord,
    goal: Goal,
    *,
    winner: Configuration | None,
) -> tuple[ReportBase, ...]:
    """Gather the reports' bases, and compare each with the winner by their equal repeats."""
    named: dict[str, list[FrozenTrial]] = {}
    for trial in trials:
        if report := trial.user_attrs.get("report"):
            named.setdefault(report, []).append(trial)
    bases: dict[Scalar, Configuration] = {
        name: _configuration(_config(of_one[0]), of_one, record, goal)
        for name, of_one in named.items()
    }
    pairs: dict[str, PairComparison] = {}
    if winner is not None and bases:
        configurations: dict[Scalar, Configuration] = {"the winner": winner, **bases}
        verdict = compare(
            configurations, record, first=goal.n_repeats, pairs=[("the winner", n) for n in bases]
        )
        pairs = {str(pair.b): pair for pair in verdict.pairs}
    return tuple(
        ReportBase(name=name, configuration=bases[name], comparison=pairs.get(name))
        for name in sorted(named)
    )


def _is_trained_again(configuration: Configuration, goal: Goal) -> bool:
    fresh = [r for r in configuration.repeats if r.repeat >= goal.n_repeats]
    ended = [r for r in fresh if r.state in ("complete", "failed")]
    return len(ended) >= goal.n_final_repeats


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


def _latest(repeats: Iterable[Repeat]) -> list[Repeat]:
    """Keep one trial per repeat: a complete one before a later one before an earlier one."""
    kept: dict[int, Repeat] = {}
    for repeat in repeats:
        if repeat.repeat not in kept or kept[repeat.repeat].state != "complete":
            kept[repeat.repeat] = repeat
    return [kept[i] for i in sorted(kept)]


def _state(repeats: Sequence[Repeat], n_repeats: int) -> State:
    states = [r.state for r in repeats]
    for state in ("running", "pruned", "failed", "waiting"):
        if state in states:
            return state
    return "complete" if len(states) >= n_repeats else "waiting"


def _n_of_search(trials: Trials, record: StudyRecord, goal: Goal) -> int:
    return SearchProgress(trials, record, goal, cells=all_cells(record, goal)).n_left


def _n_of_grid(configurations: Iterable[Configuration], *, n_cells: int, goal: Goal) -> int:
    """Return how many trainings of a grid run, wait, or are not even in the study."""
    repeats = [r for c in configurations for r in c.repeats]
    n_under_way = sum(r.state in ("running", "waiting") for r in repeats)
    n_there = sum(r.repeat < goal.n_repeats for r in repeats)
    return n_under_way + max(0, n_cells * goal.n_repeats - n_there)


def _grid_order(record: StudyRecord) -> dict[str, int]:
    if record.kind != "grid":
        return {}
    cells = spaces.cells(record.space, record.names)
    return {cell.config.identity(): i for i, cell in enumerate(cells)}
