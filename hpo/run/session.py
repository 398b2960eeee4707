"""An open study with everything that works on it: data, run store, folder."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import optuna
from safetensors.numpy import save as to_safetensors

from hpo.data import Dataset, TrainingData, cache, open_data
from hpo.errors import DataError, StudyError
from hpo.files import remove_leftovers
from hpo.run.dashboard import all_attached, attach_curves, attached_to, remove_attached
from hpo.run.engine import lanes_of, open_stack, sealed, with_device
from hpo.run.events import Event, TrialDone
from hpo.run.kept_weights import KeptWeights
from hpo.run.loop import Workplace, work
from hpo.run.plan import Plan, describe_data
from hpo.search import GridSource, Job, SearchSource, Source, run_key
from hpo.search.trials import requeue_stale
from hpo.storage.lock import Check, study_lock
from hpo.storage.opening import Storage, explained, in_command, open_storage, quiet_optuna
from hpo.storage.paths import (
    artifacts_folder,
    clear_study_folder,
    has_other_database,
    runs_folder,
    study_folder,
)
from hpo.storage.runs import RunKey, RunStore
from hpo.study import study as studies
from hpo.study.baselines import baselines
from hpo.study.gathering import summarize
from hpo.study.record import Goal, StudyRecord
from hpo.study.summary import StudySummary
from hpo.training.engine import Stack, TrainingResult


@dataclass(frozen=True, kw_only=True)
class Session:
    """A study, opened by its only driver. `record` holds the device settled at its creation.

    `check` raises where this process no longer is the driver.
    """

    plan: Plan
    storage: Storage
    study: optuna.Study
    record: StudyRecord
    goal: Goal
    source: Source
    check: Check

    @cached_property
    def training_data(self) -> TrainingData:
        """The data as training may see them."""
        return sealed(self.plan.dataset, self.record)

    @property
    def runs(self) -> RunStore:
        """The run store of this storage."""
        return RunStore(runs_folder(self.storage.url))

    @property
    def folder(self) -> Path:
        """The folder of this study, for its page, weights and exports."""
        return study_folder(self.storage.url, self.study.study_name)

    @property
    def n_lanes(self) -> int:
        """How many trainings go on at once, in all processes."""
        return lanes_of(self.record, self.plan.lanes)

    def key_of(self, job: Job) -> RunKey:
        """Return what decides the numbers of a job."""
        return run_key(self.record, job)

    def summary(self) -> StudySummary:
        """Return the study as it stands."""
        return summarize(self.study, storage_url=self.storage.url)


@contextmanager
def open_session(plan: Plan) -> Iterator[Session]:
    """Open or create the study of a plan, as its only driver until the end.

    Trials that a dead process left running are put back, so that they are trained again. Where the
    plan has the study's data at another path, that is the recorded one from now on.

    Raises:
        StudyError: another process drives the study, or it is there and does not fit the plan.
        DeviceError: the device is not there.
    """
    quiet_optuna()
    storage = open_storage(plan.storage)
    with study_lock(storage, plan.name) as check:
        with explained(storage.url):
            study = studies.find(storage, plan.name)
            if study is None or studies.is_blank(study):
                study = studies.create(storage, plan.name, with_device(plan.record))
            studies.check_fits(study, plan.record)
            _check_device(study.study_name, studies.read_record(study), plan.record)
            record = studies.move_data(study, plan.record.data)
            is_gpu_named = record.is_gpu_named or plan.record.is_gpu_named
            record = replace(record, is_gpu_named=is_gpu_named)
            goal = studies.raise_goal(study, plan.goal)
            requeue_stale(study)
            source = open_source(study, record, goal)
        yield Session(
            plan=plan,
            storage=storage,
            study=study,
            record=record,
            goal=goal,
            source=source,
            check=check,
        )


def plan_resume(name: str, storage_url: str) -> Plan:
    """Plan to go on with a study: its own data, space, device and goal.

    Raises:
        StudyError: there is none of this name.
        DataError: its data are gone, or not what they were.
    """
    study = studies.open_study(open_storage(storage_url, create=False), name)
    with explained(storage_url):
        record, goal = studies.read_record(study), studies.read_goal(study)
    return Plan(
        name=name,
        record=record,
        goal=goal,
        dataset=open_recorded_data(study, record),
        storage=storage_url,
    )


def open_recorded_data(
    study: optuna.Study, record: StudyRecord, *, moved: Path | None = None
) -> Dataset:
    """Open the data of a study where it recorded them, or where they were moved.

    Raises:
        DataError: they are gone, or not what they were.
    """
    path = record.data.path if moved is None else str(moved)
    way_out = (
        "Say with --data PATH where they are now; this puts it on record and trains nothing: "
        f"hpo resume {in_command(study)} --data PATH --dry-run"
    )
    try:
        dataset = open_data(None if path is None else Path(path), hint=way_out)
    except DataError as error:
        raise DataError(f"The data of the study {study.study_name}: {error}") from error
    if dataset.fingerprint != record.data.fingerprint:
        raise DataError(
            f"The data of the study {study.study_name} at {path or 'the phantom'} are not what "
            f"they were (fingerprint {dataset.fingerprint[:8]}, recorded "
            f"{record.data.fingerprint[:8]}). Put the old data back, say with --data PATH where "
            "they are, or start a new study."
        )
    return dataset


def move_data(name: str, storage_url: str, path: Path) -> None:
    """Put on record where the data of a study lie now.

    Raises:
        StudyError: there is none of this name, or another process drives it.
        DataError: its data are not there.
    """
    storage = open_storage(storage_url, create=False)
    study = studies.open_study(storage, name)
    with explained(storage_url):
        dataset = open_recorded_data(study, studies.read_record(study), moved=path)
    with study_lock(storage, name), explained(storage_url):
        studies.move_data(study, describe_data(dataset, path))


def run(session: Session) -> Generator[Event, None, None]:
    """Train what the study lacks, event by event; nothing where nothing is missing."""
    weights = KeptWeights.of(session.summary(), session.folder / "weights")
    if session.source.n_left():
        session.runs.check_writable()
    # A call that was killed may have left losers, and files half written.
    weights.tidy()
    artifacts = artifacts_folder(session.storage.url)
    for folder in (session.folder, weights.folder, session.runs.folder, artifacts):
        remove_leftovers(folder)
    cache.remove_cut_off()
    # Closed at once when the caller stops: what was cut off then waits again.
    with explained(session.storage.url):
        place = Workplace(
            runs=session.runs,
            key_of=session.key_of,
            score=session.record.score,
            keep=partial(_keep, weights),
            attach=partial(attach_curves, folder=artifacts),
            open_stack=partial(_open_stack, session),
            check=session.check,
            n_lanes=session.n_lanes,
            deadline=time.monotonic() + session.plan.timeout_s,
        )
        with closing(work(session.study, session.source, place)) as events:
            for event in events:
                if isinstance(event, TrialDone) and event.score is not None:
                    _drop_losers(weights, event)
                yield event
        _record_baselines(session)


def _open_stack(session: Session, n_lanes: int) -> Stack:
    """Open a stack of so many lanes; those beyond the trainings that are left get no process."""
    n_used = min(n_lanes, max(1, session.source.n_left()))
    return open_stack(session.record, session.training_data, n_lanes=n_used)


def _keep(weights: KeptWeights, job: Job, run: str, result: TrainingResult) -> None:
    """Keep the weights of a training while its configuration may be handed over."""
    if not job.report:
        weights.write(run, to_safetensors(result.weights))


def _drop_losers(weights: KeptWeights, done: TrialDone) -> None:
    """Drop the weights of what has lost by a training that is complete."""
    assert done.score is not None
    job = done.job
    if not job.report:
        weights.add(job.config.identity(), job.repeat, done.run, done.score, place=1 + job.ordinal)


def delete_study(storage: Storage, name: str) -> None:
    """Delete a study and the files that hpo wrote for it; the run store keeps its trainings.

    The files stay where another database lies beside this one: its studies may have them too.

    Raises:
        StudyError: a process drives it.
    """
    with study_lock(storage, name):
        with explained(storage.url):
            study = optuna.load_study(study_name=name, storage=storage.optuna)
            attached = attached_to(study, storage)
            optuna.delete_study(study_name=name, storage=storage.optuna)
            attached -= all_attached(storage)  # What a copy of the study has as well.
        if has_other_database(storage.url):
            return
        try:
            remove_attached(attached, folder=artifacts_folder(storage.url))
        finally:
            clear_study_folder(study_folder(storage.url, name))


def open_source(study: optuna.Study, record: StudyRecord, goal: Goal) -> Source:
    """Return where the trials of this study come from."""
    if record.kind == "grid":
        return GridSource(study=study, record=record, n_repeats=goal.n_repeats)
    return SearchSource(study=study, record=record, goal=goal)


def _check_device(name: str, recorded: StudyRecord, asked: StudyRecord) -> None:
    """Refuse to mix devices or precisions within a study; `auto` takes what is recorded."""
    pairs = (
        ("--device", recorded.device, asked.device),
        ("--precision", recorded.precision, asked.precision),
    )
    for option, old, new in pairs:
        if new not in ("auto", old, old.partition(":")[0]):
            raise StudyError(
                f"The study {name} was trained with {option} {old}, not {new}: its repeats would "
                f"not compare. Leave {option} out, or give the new study a name with --study."
            )


def _record_baselines(session: Session) -> None:
    """Score the baselines on the folds that speak for the best configuration."""
    best, first = session.summary().best, session.record.seed
    folds = list(range(first, first + session.goal.n_repeats))
    if best:
        folds = [repeat.fold for repeat in best.judged]
    if session.record.data.has_own_validation:
        folds = folds[:1]
    if session.study.user_attrs.get("baseline_folds") == folds:
        return
    found = baselines(session.training_data, folds)
    session.study.set_user_attr("baselines", {b.name: b.mean for b in found})
    session.study.set_user_attr("baseline_folds", folds)
