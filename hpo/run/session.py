"""An open study with its data, run store, folder and engine."""

import contextlib
import math
import select
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Final, cast

import optuna
from optuna.trial import TrialState

from hpo import models
from hpo import space as spaces
from hpo.data import cache
from hpo.data.dataset import Dataset, TrainingData, seal
from hpo.errors import ModelError, UsageError, fault_list
from hpo.files import MAKE_ROOM, remove_leftovers, writing
from hpo.run.loop import Event, RepeatsAdded, TrainingLoop, TrialDone
from hpo.run.plan import Plan, Settings
from hpo.run.sources import GridSource, SearchSource, Source
from hpo.storage import paths
from hpo.storage.database import Database
from hpo.storage.lock import Check, study_lock
from hpo.storage.opening import attributes_of, open_storage, quiet_optuna
from hpo.storage.runs import RunStore
from hpo.study import study as studies
from hpo.study.baselines import baselines
from hpo.study.gathering import summarize
from hpo.study.record import LOOK_EVERY, Goal, StudyRecord
from hpo.study.score import read_required
from hpo.study.summary import Configuration, StudySummary
from hpo.study.trials import enqueue_start, requeue_running
from hpo.training import machine
from hpo.training.engine import Stack, Workers

# After this many trainings, weights that cannot win are removed, because weights are large.
_MOST_NEW_WEIGHTS: Final = 20


@dataclass(frozen=True)
class Session:
    """A study, opened by its only driver. `record` holds the device chosen at its creation.

    `check` raises if this process is no longer the driver; `cluster` is the cluster of `--ray`.
    """

    plan: Plan
    storage: Database
    study: optuna.Study
    record: StudyRecord
    goal: Goal
    source: Source
    check: Check
    cluster: Any = None

    @cached_property
    def training_data(self) -> TrainingData:
        """The data as training may see them."""
        return sealed(self.plan.dataset, self.record)

    @property
    def runs(self) -> RunStore:
        """The run store of this storage."""
        return RunStore(paths.runs_folder(self.storage.url))

    @property
    def folder(self) -> Path:
        """The folder of this study for its page, weights and exports."""
        return paths.study_folder(self.storage.url, self.study.study_name)

    def summary(self) -> StudySummary:
        """Return the current state of the study."""
        return summarize(self.study, runs=self.runs)


@contextlib.contextmanager
def open_session(plan: Plan) -> Iterator[Session]:
    """Open or create the study of a plan, as its only driver until the end.

    Another path of the data, another margin and other weights to compare are recorded.

    Raises:
        StudyError: another process drives the study, or it exists and does not fit the plan.
        DeviceError: the device is not available.
    """
    quiet_optuna()
    storage = open_storage(plan.settings.storage)
    with study_lock(storage, plan.name) as check, ray_cluster(plan.settings) as cluster:
        study = studies.find(storage, plan.name)
        if study is None or studies.is_blank(study):
            study = studies.create(storage, plan.name, with_device(plan.record, cluster))
        studies.check_fits(study, plan.record)
        new, require = plan.record, plan.settings.require
        # A share of 0 takes a requirement back; the record of the plan lacks it.
        require = None if require is None else read_required(require)
        record = studies.renew_record(
            study, new.data, margin=new.margin, weights=new.weights, require=require
        )
        # This space equals the recorded one, but its custom model may be run.
        record = replace(record, space=plan.record.space)
        if plan.record.is_gpu_named:
            record = replace(record, is_gpu_named=True)
        goal = studies.raise_goal(study, plan.goal)
        # A trial that is running now belongs to a driver that was killed.
        requeue_running(study)
        if record.kind == "search":
            enqueue_start(study, record, plan.start)
        source = open_source(study, record, goal)
        try:
            yield Session(plan, storage, study, record, goal, source, check, cluster)
        except BaseException as error:
            storage.close_interrupted(error)
            raise
        finally:
            # Re-queue interrupted trials, even one that has just started. If this fails, the next
            # driver does it.
            with contextlib.suppress(Exception):
                check()
                requeue_running(study)


def plan_resume(name: str, settings: Settings) -> Plan:
    """Plan to continue a study with its own space, device and goal.

    Of the settings, `data` is the current path of its data; `margin` and `weights` replace the
    basis of its comparisons; `model` names the file of its custom model.
    """
    if settings.data is not None:
        studies.move_data(name, settings.storage, Path(settings.data))
    study = studies.open_study(open_storage(settings.storage, create=False), name)
    record, goal = studies.read_record(study), studies.read_goal(study)
    record = record.judged_by(settings.margin, settings.weights)
    record = with_model(record, name, settings.model)
    data = studies.open_recorded_data(study, record)
    return Plan(name=study.study_name, record=record, goal=goal, dataset=data, settings=settings)


def training_events(session: Session) -> Generator[Event, None, None]:
    """Train the missing trials of the study; yield the events.

    If its goal requires it, a grid gets more repeats until every pair of values is decided.
    """
    settings = session.plan.settings
    deadline = time.monotonic() + (settings.timeout or math.inf)
    goal, source = session.goal, session.source
    if source.n_left():
        session.runs.check_writable()
    weights = session.folder / "weights"
    for folder in (session.folder, weights, session.runs.folder):
        remove_leftovers(folder)  # A killed command may have left partial files.
    cache.remove_partial_files()

    cluster = session.cluster if source.n_left() else None
    if cluster:
        cluster.processors = _processors(session.study, session.record)

    def opened(n_lanes: int) -> Stack:
        if cluster:
            from hpo.training.device import Device

            place = Device(session.record.device, cast(Any, session.record.precision))
            together = joins(session.record)
            return cast(Stack, cluster.open_stack(session.training_data, place, joins=together))
        # No more processes than remaining trainings.
        n_used = min(n_lanes, max(1, source.n_left()))
        return open_stack(session.record, session.training_data, n_lanes=n_used)

    def news() -> Workers | None:
        workers: Workers | None = cluster.news() if cluster else None
        if workers:
            session.study.set_user_attr("processors", list(workers.processors))
        return workers

    n_lanes, n_new = lanes_of(session.record, settings.lanes, cluster), 0
    while True:
        loop = TrainingLoop(
            session.study,
            session.record,
            source,
            runs=session.runs,
            weights=weights,
            open_stack=opened,
            n_lanes=n_lanes,
            deadline=deadline,
            check=session.check,
            news=news,
            most_lanes=min(settings.lanes or math.inf, session.record.window or math.inf),
        )
        with contextlib.closing(loop.events()) as events:
            for event in events:
                yield event
                n_new += isinstance(event, TrialDone) and event.outcome == "complete"
                if n_new == _MOST_NEW_WEIGHTS:
                    keep_best_weights(summarize(session.study, compares=False), weights)
                    n_new = 0
        if time.monotonic() >= deadline or source.n_left():
            break
        if (further := _next_goal(session, goal)) is None:
            break
        goal = studies.raise_goal(session.study, further)
        assert isinstance(source, GridSource)
        source = source.further(goal.n_repeats)
        yield RepeatsAdded(goal.n_repeats, source.n_left())
    # The best is chosen by the scores of the trials, without reading runs.
    summary = summarize(session.study, compares=False)
    keep_best_weights(summary, weights)
    _record_baselines(session, goal, summary.best)


def keep_best_weights(summary: StudySummary, folder: Path) -> None:
    """Remove the weights of configurations that have lost, once their repeats are complete.

    Raises:
        OutputError: one cannot be removed.
    """
    lost: set[str | None] = set()
    for c in summary.configurations:
        is_open = c.state != "complete" or (c.fresh and not summary.finalists)
        still_needed = c.repeats if is_open else c.judged if c is summary.best else ()
        lost |= {r.run for r in c.repeats} - {r.run for r in still_needed}
    with writing(folder, hint=MAKE_ROOM):
        for path in folder.glob("*.safetensors"):
            if path.stem in lost:
                path.unlink(missing_ok=True)


def _next_goal(session: Session, goal: Goal) -> Goal | None:
    """Return the goal with more repeats; None at the limit, or if everything is decided."""
    if goal.n_repeats >= goal.most_repeats:
        return None
    summary = session.summary()
    pairs = summary.verdict.pairs if summary.verdict else ()
    # A value that fails in every repeat is never compared.
    if not any(pair.answer == "undecided" for pair in pairs) and goal.n_repeats > 1:
        return None
    n = min(goal.most_repeats, LOOK_EVERY * (goal.n_repeats // LOOK_EVERY + 1))
    return replace(goal, n_repeats=n)


def delete_study(storage: Database, name: str) -> Path | None:
    """Delete a study and the files that hpo wrote for it; its results stay in the run store.

    The files remain if another database next to this one has a study of this name: it is returned.
    """
    with study_lock(storage, name):
        optuna.delete_study(study_name=name, storage=storage)
        other = paths.other_owner(storage.url, name)
        if not other:
            paths.clear_study_folder(paths.study_folder(storage.url, name))
        return other


def open_source(study: optuna.Study, record: StudyRecord, goal: Goal) -> Source:
    """Return the source of the trials of this study."""
    if record.kind == "grid":
        return GridSource(study=study, record=record, n_repeats=goal.n_repeats)
    return SearchSource(study=study, record=record, goal=goal)


def _record_baselines(session: Session, goal: Goal, best: Configuration | None) -> None:
    """Score the baselines on the folds by which the best configuration is judged."""
    folds = [session.record.seed + repeat for repeat in range(goal.n_repeats)]
    if best:
        folds = [repeat.fold for repeat in best.judged]
    if attributes_of(session.study).get("baseline_folds") == folds:
        return
    scores = baselines(session.training_data, folds)
    means = {name: {m: fmean(values) for m, values in of.items()} for name, of in scores.items()}
    session.study.set_user_attr("baselines", means)
    session.study.set_user_attr("baseline_scores", scores)
    session.study.set_user_attr("baseline_folds", folds)


def sealed(dataset: Dataset, record: StudyRecord) -> TrainingData:
    """Return the data as the trainings of a study may see them."""
    return replace(seal(dataset), is_stressed=record.score.is_stressed, code=record.space.code)


def with_model(record: StudyRecord, name: str, model: Any) -> StudyRecord:
    """Return the record of the study `name` with the file of its custom model, which is run.

    Raises:
        UsageError: a custom model is not named, or one is named for the built-in network.
        ModelError: the model has changed.
    """
    recorded = record.space.base.model
    if recorded is None:
        if model is not None:
            raise UsageError(f"{name} trains the built-in network. Leave --model out.")
        return record
    if model is None:
        raise UsageError(
            f"{name} trains {recorded.entry}, and code runs only if the command line names it: "
            f"add{record.model_option}"
        )
    model_now, code = models.open_custom(model)
    if faults := models.differences(recorded, model_now):
        raise ModelError(
            fault_list(f"{code} is not the model that {name} was created with:", faults)
            + "\nRestore it, or start a new study with it."
        )
    return replace(record, space=replace(record.space, code=code), model=code)


def open_stack(record: StudyRecord, data: TrainingData, *, n_lanes: int) -> Stack:
    """Open the engine for a study on its device, in one or more processes."""
    # Importing torch takes two seconds; a complete study is shown without it.
    from hpo.training import stack
    from hpo.training.pool import Pool
    from hpo.training.processes import Processes
    from hpo.training.selfcheck import choose_checked

    place = choose_checked(record.device, record.precision)
    n_processes = processes_of(record, n_lanes)
    if n_processes == 1:
        return stack.open_stack(data, device=place, joins=joins(record))
    return Pool(Processes(data, place, n_processes=n_processes, joins=joins(record)))


def lanes_of(record: StudyRecord, requested: int | None, cluster: Any = None) -> int:
    """Return the number of parallel trainings of a study, in a search at most its window.

    For None, it depends on the cluster or, on this machine, on the configurations known so far.
    """
    configs = [record.space.base]
    if record.kind == "grid":
        configs = [cell.config for cell in spaces.cells(record.space, record.names)]
    n_lanes: int = requested or (
        cluster.n_slots(record.device) * machine.lanes_per_worker(record.device)
        if cluster
        else machine.choose_lanes(record.kind, record.device, configs)
    )
    return min(n_lanes, record.window) if record.window else n_lanes


def processes_of(record: StudyRecord, n_lanes: int) -> int:
    """Return the number of processes: one per core, or per GPU unless a GPU is named."""
    # The pool relies on inherited files and `select`, which Windows lacks.
    if not hasattr(select, "poll"):
        return 1
    if record.device.startswith("cpu"):
        return min(n_lanes, machine.n_cores())
    if record.device != "cuda:0" or record.is_gpu_named:
        return 1
    from hpo.training import device

    return min(n_lanes, device.n_gpus())


def joins(record: StudyRecord) -> bool:
    """Whether trainings that differ only in their epochs are trained as one."""
    return record.kind == "grid" and "epochs" in record.names


@contextlib.contextmanager
def ray_cluster(settings: Settings) -> Iterator[Any]:
    """Yield the `hpo.training.ray_cluster.Cluster` to train on, then leave it; or None."""
    if settings.ray is None:
        yield None
        return
    from hpo.training.ray_cluster import Cluster

    with Cluster(settings.ray, is_mixed=settings.mixed_processors) as cluster:
        yield cluster


def _processors(study: optuna.Study, record: StudyRecord) -> list[str]:
    """Return the kinds of processors that have trained a study."""
    if recorded := studies.read_processors(study):
        return list(recorded)
    is_trained = bool(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    return [record.versions["processor"]] if is_trained and record.device == "cpu" else []


def with_device(record: StudyRecord, cluster: Any = None) -> StudyRecord:
    """Return the record with device and precision resolved on this machine or the cluster."""
    from hpo.training.selfcheck import choose_checked

    place = (cluster.choose if cluster else choose_checked)(record.device, record.precision)
    return replace(record, device=place.name, precision=place.precision)
