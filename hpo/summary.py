"""A study by configuration: what tables, figures, winners and JSON are made from."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.config import Scalar, TrainingConfig
from hpo.openings import Opening, read_openings, to_documents
from hpo.stats import Interval, SweepComparison, compare_sweep, mean_interval
from hpo.storage import Storage, explained
from hpo.storage_url import mask
from hpo.study import is_ours, read_goal, read_record, study_names
from hpo.study_record import Goal, StudyRecord

State = Literal["complete", "pruned", "failed", "running", "waiting"]

SCORE_NAME: Final = "accuracy"
DIRECTION: Final = "maximize"

_STATES: Final[dict[TrialState, State]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """One trial: a configuration trained with one seed on one fold.

    `reported` is the score of every epoch; `reason` says why a failed one failed; `run` names its
    file in the run store. `metrics` holds those of the kept weights, by split.
    """

    trial: int
    repeat: int
    seed: int
    fold: int
    state: State
    score: float | None
    reported: tuple[float, ...]
    seconds: float | None
    is_reused: bool
    run: str | None
    reason: str | None
    metrics: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One configuration with all its repeats; `score` is taken over the complete ones."""

    params: Mapping[str, Scalar]
    config: TrainingConfig
    state: State
    score: Interval | None
    repeats: tuple[Repeat, ...]

    @property
    def label(self) -> str:
        """The parameters in words: `batch_size 32`."""
        return ", ".join(f"{name} {value}" for name, value in self.params.items()) or "base"

    @property
    def value(self) -> Scalar:
        """What it is called in a verdict: the value of its one parameter, or its label."""
        return next(iter(self.params.values())) if len(self.params) == 1 else self.label

    @property
    def scores(self) -> tuple[float, ...]:
        """The scores of the complete repeats."""
        return tuple(r.score for r in self.repeats if r.score is not None)


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """A study as it stands. `n_trained` and `n_reused` count what the last call did.

    `verdict` compares the configurations of a grid, pair by pair. `openings` tells when the sealed
    test was opened; its results are not in here.
    """

    name: str
    storage: str
    record: StudyRecord
    goal: Goal
    baselines: Mapping[str, float]
    configurations: tuple[Configuration, ...]
    verdict: SweepComparison | None = None
    openings: tuple[Opening, ...] = ()
    n_trained: int = 0
    n_reused: int = 0
    report: str | None = None

    @property
    def best(self) -> Configuration | None:
        """The configuration with the highest mean score, all its repeats being complete."""
        complete = [c for c in self.configurations if c.state == "complete"]
        return max(complete, key=_mean_score, default=None)

    def count(self, state: State) -> int:
        """Return the number of trials in a state."""
        return sum(r.state == state for c in self.configurations for r in c.repeats)


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
    by_configuration: dict[str, list[FrozenTrial]] = {}
    for trial in study.get_trials(deepcopy=False):
        if "config" in trial.user_attrs:
            config = TrainingConfig.from_mapping(trial.user_attrs["config"])
            by_configuration.setdefault(config.identity(), []).append(trial)
    order = _grid_order(record)
    configurations = [_configuration(trials, record, goal) for trials in by_configuration.values()]
    configurations.sort(key=lambda c: order.get(c.config.identity(), len(order)))
    return StudySummary(
        name=study.study_name,
        storage=mask(storage_url),
        record=record,
        goal=goal,
        baselines=dict(study.user_attrs.get("baselines", {})),
        configurations=tuple(configurations),
        verdict=_verdict(record, configurations) if record.kind == "grid" else None,
        openings=read_openings(study),
    )


def summarize_all(storage: Storage) -> tuple[list[StudySummary], int]:
    """Read every study of hpo, the oldest first, and count those of other programs."""
    summaries, n_foreign = [], 0
    for name in study_names(storage):
        with explained(storage.url):
            study = optuna.load_study(study_name=name, storage=storage.optuna)
            if is_ours(study):
                summaries.append(summarize(study, storage_url=storage.url))
            else:
                n_foreign += 1
    return summaries, n_foreign


def with_call(summary: StudySummary, *, n_trained: int, n_reused: int) -> StudySummary:
    """Return the summary with what the last call trained and reused."""
    return replace(summary, n_trained=n_trained, n_reused=n_reused)


def to_document(summary: StudySummary) -> dict[str, Any]:
    """Return the summary as the JSON document that `--json` prints."""
    data = summary.record.data
    document: dict[str, Any] = {
        "study": summary.name,
        "kind": summary.record.kind,
        "storage": summary.storage,
        "score": {"name": SCORE_NAME, "direction": DIRECTION},
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "is_phantom": data.is_phantom,
            "n_train": data.n_train,
            "n_validation": data.n_validation,
            "n_test": data.n_test,
        },
        "baselines": dict(summary.baselines),
        "configurations": [_configuration_document(c) for c in summary.configurations],
        "best": None,
        "verdict": _verdict_document(summary.verdict),
        "n_openings": len(summary.openings),
        "openings": to_documents(summary.openings),
        "n_trained": summary.n_trained,
        "n_reused": summary.n_reused,
        "report": summary.report,
    }
    if summary.best and summary.best.score:
        document["best"] = {
            "params": dict(summary.best.params),
            "config": summary.best.config.to_mapping(),
            "score": summary.best.score.mean,
        }
    return document


def _configuration(trials: list[FrozenTrial], record: StudyRecord, goal: Goal) -> Configuration:
    repeats = tuple(_latest(map(_repeat, trials)))
    scores = [r.score for r in repeats if r.state == "complete" and r.score is not None]
    return Configuration(
        params=trials[0].user_attrs["params"],
        config=TrainingConfig.from_mapping(trials[0].user_attrs["config"]),
        state=_state(repeats, goal.n_repeats),
        score=_as_share(mean_interval(scores, overlap=record.data.overlap)) if scores else None,
        repeats=repeats,
    )


def _verdict(record: StudyRecord, configurations: list[Configuration]) -> SweepComparison:
    """Compare every pair of configurations by the repeats that both have."""
    scores = {}
    for configuration in configurations:
        by_repeat = {r.repeat: r.score for r in configuration.repeats}
        n_repeats = max(by_repeat, default=-1) + 1
        scores[configuration.value] = [by_repeat.get(i) for i in range(n_repeats)]
    return compare_sweep(scores, overlap=record.data.overlap, n_images=record.data.n_train)


def _as_share(interval: Interval) -> Interval:
    """Cut an interval where a share ends: few repeats reach beyond 0 or 1."""
    if interval.low is None or interval.high is None:
        return interval
    return replace(interval, low=max(0.0, interval.low), high=min(1.0, interval.high))


def _repeat(trial: FrozenTrial) -> Repeat:
    attributes = trial.user_attrs
    state = _STATES[trial.state]
    return Repeat(
        trial=trial.number,
        repeat=attributes["repeat"],
        seed=attributes["seed"],
        fold=attributes["fold"],
        state=state,
        score=trial.value if state == "complete" else None,
        reported=tuple(v for _, v in sorted(trial.intermediate_values.items())),
        seconds=attributes.get("seconds"),
        is_reused=bool(attributes.get("is_reused", False)),
        run=attributes.get("run"),
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


def _state(repeats: tuple[Repeat, ...], n_repeats: int) -> State:
    states = [r.state for r in repeats]
    for state in ("running", "pruned", "failed", "waiting"):
        if state in states:
            return state
    return "complete" if len(states) >= n_repeats else "waiting"


def _grid_order(record: StudyRecord) -> dict[str, int]:
    if record.kind != "grid":
        return {}
    cells = spaces.cells(record.space, record.names)
    return {cell.config.identity(): i for i, cell in enumerate(cells)}


def _mean_score(configuration: Configuration) -> float:
    mean = configuration.score.mean if configuration.score else None
    return float("-inf") if mean is None else mean


def _configuration_document(configuration: Configuration) -> dict[str, Any]:
    score = configuration.score
    return {
        "params": dict(configuration.params),
        "config": configuration.config.to_mapping(),
        "state": configuration.state,
        "score": score.mean if score else None,
        "low": score.low if score else None,
        "high": score.high if score else None,
        "repeats": [_repeat_document(r) for r in configuration.repeats],
    }


def _verdict_document(verdict: SweepComparison | None) -> dict[str, Any] | None:
    return None if verdict is None else {"pairs": [asdict(pair) for pair in verdict.pairs]}


def _repeat_document(repeat: Repeat) -> dict[str, Any]:
    return {
        "trial": repeat.trial,
        "seed": repeat.seed,
        "fold": repeat.fold,
        "state": repeat.state,
        "score": repeat.score,
        "epochs": len(repeat.reported),
        "seconds": repeat.seconds,
        "reason": repeat.reason,
        "metrics": {split: dict(values) for split, values in repeat.metrics.items()},
    }
