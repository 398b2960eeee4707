"""Training a trial again, never from the run store."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.data import TrainingData
from hpo.errors import StudyError
from hpo.reproduce.judging import Reproduction, judge
from hpo.reproduce.numbers import AFTER, Numbers, of_end, of_epoch, of_run, of_trial
from hpo.run.engine import open_stack, sealed, with_device
from hpo.run.recording import to_epoch, to_run
from hpo.run.session import open_recorded_data
from hpo.search import Job, run_key
from hpo.search.job import read_job
from hpo.search.trials import read_trials
from hpo.storage.database import damage_of
from hpo.storage.opening import in_command
from hpo.storage.runs import Run, RunStore
from hpo.study.record import StudyRecord, versions
from hpo.study.study import read_record
from hpo.training.engine import Stack

_VERSIONS: Final = ("hpo", "torch", "numpy", "python", "processor")


@dataclass(frozen=True, slots=True)
class EpochAgain:
    """One epoch was trained again; `is_equal` says whether its numbers are those on record."""

    epoch: int
    n_epochs: int
    is_equal: bool


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    """What is on record of a trial; `n_epochs` is how far it may be trained."""

    trial: FrozenTrial
    record: StudyRecord
    job: Job
    run: Run | None
    numbers: Numbers
    n_epochs: int


def reproduce(
    study: optuna.Study,
    number: int,
    runs: RunStore,
    *,
    name: str = "",
    device: str | None = None,
    precision: str | None = None,
) -> Iterator[EpochAgain | Reproduction]:
    """Train a trial again and compare every recorded number; what came out is yielded last.

    `number` is Optuna's, `name` what the trial is called in messages.
    Without `device` and `precision` as recorded. A pruned trial is trained as far as it was. The
    run store is read for the record alone.

    Raises:
        StudyError: there is no such trial, or it is not finished.
        DataError: the data are gone or changed.
        DeviceError: the device is not there.
    """
    name = name or f"Trial {number}"
    recorded = _read(study, number, runs, name=name)
    record = recorded.record
    data = _open_data(study, recorded)
    place = with_device(
        replace(record, device=device or record.device, precision=precision or record.precision)
    )
    started, numbers = time.monotonic(), Numbers()
    with closing(open_stack(place, data, n_lanes=1)) as stack:
        for epoch, found in _train(stack, recorded):
            numbers |= found
            if epoch != AFTER:
                is_equal = not judge(_known(recorded.numbers, epoch), found).first
                yield EpochAgain(epoch, recorded.n_epochs, is_equal)
    yield Reproduction(
        study=study.study_name,
        name=name,
        trial=number,
        metric=record.score,
        has_run=recorded.run is not None,
        n_epochs=max(epoch for epoch, _ in numbers if epoch != AFTER),
        score=recorded.numbers.get((AFTER, "score")),
        score_now=numbers.get((AFTER, "score")),
        changes=tuple(_changes(recorded, place)),
        judgment=judge(recorded.numbers, numbers),
        seconds=time.monotonic() - started,
    )


def _open_data(study: optuna.Study, recorded: _Recorded) -> TrainingData:
    data = sealed(open_recorded_data(study, recorded.record), recorded.record)
    # A study with a stress score may have trained it too, or have trained it first.
    has_stress = recorded.run is not None and bool(recorded.run.stress)
    return replace(data, is_stressed=data.is_stressed or has_stress)


def _read(study: optuna.Study, number: int, runs: RunStore, *, name: str) -> _Recorded:
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    if number not in trials:
        there = f"its trials are 0 to {len(trials) - 1}" if trials else "it has none yet"
        raise StudyError(
            f"The study {study.study_name} has no trial {number}: {there}. `hpo export "
            f"{in_command(study)} --weights none` lists them."
        )
    trial, record = trials[number], read_record(study)
    if number in read_trials(study, record).foreign:
        raise StudyError(
            f"{name} of {study.study_name} is of another program: there is nothing to compare it "
            f"with. `hpo show {in_command(study)} --json` lists the trials that count."
        )
    job = read_job(trial)
    if trial.state == TrialState.FAIL or job is None:
        reason = trial.user_attrs.get("reason") or damage_of(trial) or "no reason is on record"
        raise StudyError(
            f"{name} of {study.study_name} failed ({reason.rstrip('.')}), so there is nothing to "
            f"compare: hpo resume {in_command(study)} trains it again."
        )
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        raise StudyError(
            f"{name} of {study.study_name} is not finished yet: hpo resume {in_command(study)}"
        )
    digest = trial.user_attrs.get("run")
    run = runs.read(digest) if digest else None
    is_pruned = trial.state == TrialState.PRUNED
    return _Recorded(
        trial=trial,
        record=record,
        job=job,
        run=run,
        numbers=(of_run(run, record.score) if run else {}) | of_trial(trial),
        n_epochs=max(trial.intermediate_values) if is_pruned else job.config.epochs,
    )


def _train(stack: Stack, recorded: _Recorded) -> Iterator[tuple[int, Numbers]]:
    """Yield the numbers of each epoch, then of the kept weights, unless the trial was pruned."""
    job, epoch, score = recorded.job, 0, recorded.record.score
    lane = stack.add(job.config, seed=job.seed, fold=job.fold)
    while lane in stack.lanes and epoch < recorded.n_epochs:
        for _, epoch, metrics in stack.step():
            yield epoch, of_epoch(epoch, to_epoch(metrics), score)
    if recorded.trial.state == TrialState.COMPLETE:
        yield AFTER, of_end(to_run(stack.result(lane)), score)


def _known(numbers: Numbers, epoch: int) -> Numbers:
    return {key: value for key, value in numbers.items() if key[0] == epoch}


def _changes(recorded: _Recorded, place: StudyRecord) -> Iterator[str]:
    record = recorded.record
    for old, new in ((record.device, place.device), (record.precision, place.precision)):
        if old != new:
            yield f"{old} then, {new} now"
    then, now = recorded.run.versions if recorded.run else record.versions, versions()
    for name in _VERSIONS:
        if name in then and then[name] != now[name]:
            yield f"{name} {then[name]} then, {now[name]} now"
    digest = recorded.trial.user_attrs.get("run")
    if digest and digest != run_key(record, recorded.job).digest():
        yield "hpo computed differently then (another generation of its numerics)"
