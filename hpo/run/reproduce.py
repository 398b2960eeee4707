"""Training recorded jobs again, never from the run store: for their weights, or to compare.

A number of a training is identified by its epoch and its name; epoch `AFTER` is after the last.
What the trial holds is recorded a second time, under other names: either record may be wrong.
"""

import math
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.errors import OutOfMemoryError, StudyError
from hpo.run.loop import to_epoch, to_run
from hpo.run.session import (
    lanes_of,
    open_recorded_data,
    open_stack,
    sealed,
    with_device,
    with_model,
)
from hpo.storage.database import damage_of
from hpo.storage.opening import in_command
from hpo.storage.runs import Epoch, ImageProbabilities, Run, RunStore
from hpo.study.record import StudyRecord
from hpo.study.score import Score
from hpo.study.study import read_record
from hpo.study.trials import Job, has_job, job_of, read_trials, run_key
from hpo.training.engine import TrainingResult
from hpo.training.machine import versions

Retrained: TypeAlias = Generator[tuple[Job, TrainingResult], None, None]
Numbers: TypeAlias = dict[tuple[int, str], float]
Result: TypeAlias = Literal["equal", "equal_within_rounding", "different"]

AFTER: Final = sys.maxsize

# Half a point of accuracy; of losses above 1, half a percent. Training lets rounding grow: on real
# X-rays another instruction set went beyond this after 1 to 7 epochs in fp32, in the first in bf16
# (docs/reproduce.md). A tolerance that held for whole trainings would hold for other seeds too.
TOLERANCE: Final = 0.005
_EXACT: Final = ("learning rate", "kept epoch")  # They are not computed from pixels.
_VERSIONS: Final = ("hpo", "torch", "numpy", "python", "processor")


@dataclass(frozen=True)
class Difference:
    """A number that is not what was recorded; `now` is None where training ended before it.

    `epoch` is None after the last epoch.
    """

    epoch: int | None
    metric: str
    recorded: float
    now: float | None

    @property
    def size(self) -> float:
        """The difference, relative to the recorded number where that is above 1."""
        if self.now is None:
            return math.inf
        if self.now == self.recorded or (math.isnan(self.now) and math.isnan(self.recorded)):
            return 0.0
        size = abs(self.now - self.recorded) / max(1.0, abs(self.recorded))
        return math.inf if math.isnan(size) else size

    @property
    def is_rounding(self) -> bool:
        """Whether rounding explains it."""
        return self.size <= TOLERANCE and self.metric not in _EXACT

    @property
    def place(self) -> str:
        """Which number it is, in words."""
        when = "after the last epoch" if self.epoch is None else f"of epoch {self.epoch}"
        return f"the {self.metric} {when}"

    @property
    def values(self) -> str:
        """Both numbers, in words."""
        now = "none" if self.now is None else f"{self.now:.6g}"
        return f"{self.recorded:.6g} recorded, {now} now"


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A trial that was trained again for `n_epochs` epochs: the numbers recorded, and those now.

    `name` is what messages call it, `trial` is Optuna's number; `metric` is what its study
    optimizes. Without `has_run` only what the trial itself holds was compared. `changes` lists
    what differs between the recorded environment and this one.
    """

    study: str
    name: str
    trial: int
    metric: Score
    has_run: bool
    n_epochs: int
    recorded: Numbers
    now: Numbers
    changes: tuple[str, ...]
    seconds: float

    @cached_property
    def differences(self) -> list[Difference]:
        """The recorded numbers that are others now, in the order of their epochs."""
        return differences(self.recorded, self.now)

    @property
    def begins(self) -> Difference | None:
        """The first difference that rounding does not explain."""
        return next((d for d in self.differences if not d.is_rounding), None)

    @property
    def largest(self) -> Difference | None:
        """The largest difference."""
        return max(self.differences, key=lambda d: d.size, default=None)

    @property
    def result(self) -> Result:
        """What the comparison found."""
        if self.begins:
            return "different"
        return "equal_within_rounding" if self.differences else "equal"

    def sentences(self) -> Iterator[str]:
        """Say what came out: the answer first, then what it rests on."""
        yield f"{self.name} of {self.study}: {self._answer()}"
        scores = [numbers.get((AFTER, "score")) for numbers in (self.recorded, self.now)]
        if scores[0] is None:
            yield f"It was pruned in epoch {self.n_epochs}: the reported scores were compared."
        else:
            # There is none now where training diverged.
            then, now = ("none" if s is None else self.metric.text(s, digits=2) for s in scores)
            yield f"Score ({self.metric.title}): {then} recorded, {now} now."
            if not self.has_run:
                yield (
                    "Its run file is gone: the score of each epoch and the metrics of the kept "
                    "weights, which the trial holds too, were compared."
                )
        if self.changes:
            yield f"The environment changed: {'; '.join(self.changes)}."
            if self.result == "different":
                yield (
                    "Rounding depends on processor, device, precision and versions, and training "
                    "amplifies it until two trainings differ as much as two seeds: this alone may "
                    "explain the difference."
                )
        elif self.differences:
            yield "The environment is the same: the code or the record has changed."

    def _answer(self) -> str:
        n, n_different = len(self.recorded), len(self.differences)
        if self.largest is None:
            return f"equal. All {n:,} recorded numbers are the same, to the last bit."
        same = f"{n - n_different:,} of {n:,} recorded numbers are the same"
        if begins := self.begins:
            said = f"different, from {begins.place} on: {begins.values}. {same}."
        else:
            said = (
                f"equal within rounding. {same}; the largest difference is "
                f"{self.largest.size:.2g}, in {self.largest.place} ({self.largest.values})."
            )
        return f"{said} Differences up to {TOLERANCE:g} count as rounding."

    def to_document(self) -> dict[str, Any]:
        """Return what `hpo reproduce --json` prints."""
        first = self.differences[0] if self.differences else None
        found = {"first": first, "begins": self.begins, "largest": self.largest}
        return {
            "result": self.result,
            "study": self.study,
            "trial": self.trial,
            "n_epochs": self.n_epochs,
            "n_numbers": len(self.recorded),
            "n_equal": len(self.recorded) - len(self.differences),
            "tolerance": TOLERANCE,
            **{name: one and asdict(one) for name, one in found.items()},
            "score": {
                "name": self.metric.name,
                "recorded": self.recorded.get((AFTER, "score")),
                "now": self.now.get((AFTER, "score")),
            },
            "has_run": self.has_run,
            "changes": list(self.changes),
            "seconds": self.seconds,
            "sentences": list(self.sentences()),
        }


def retrain(
    study: optuna.Study,
    jobs: Sequence[Job],
    *,
    lanes: int | None = None,
    model: str | None = None,
) -> Retrained:
    """Train jobs again on the study's own data and device; yield each result as it comes.

    As many run at once as the study would train, or `lanes`; `model` is its own one. Where memory
    runs out, those that are not done begin again, half as many at once.

    Raises:
        DataError: the data are gone or changed.
        DeviceError: the device is not there.
        OutOfMemoryError: there is not even room for one.
    """
    record = with_model(read_record(study), study.study_name, model)
    data = sealed(open_recorded_data(study, record), record)
    missing = list(jobs)
    n_lanes = min(lanes_of(record, lanes), len(missing))
    while missing:
        waiting, live = deque(missing), dict[int, Job]()
        try:
            with closing(open_stack(record, data, n_lanes=n_lanes)) as stack:
                while waiting or live:
                    while waiting and len(live) < n_lanes:
                        job = waiting.popleft()
                        live[stack.add(job.config, seed=job.seed, fold=job.fold)] = job
                    stack.step()
                    for lane in [lane for lane in live if lane not in stack.lanes]:
                        job, result = live.pop(lane), stack.result(lane)
                        missing.remove(job)
                        yield job, result
        except OutOfMemoryError:
            if n_lanes == 1:
                raise
            n_lanes //= 2


def reproduce(
    study: optuna.Study,
    number: int,
    runs: RunStore,
    *,
    name: str = "",
    device: str | None = None,
    precision: str | None = None,
    model: str | None = None,
) -> Iterator[tuple[int, int, bool] | Reproduction]:
    """Train a trial again and compare every recorded number.

    Yields the number of each epoch, how many there are, and whether its numbers are those
    recorded; the outcome is yielded last. `number` is Optuna's, `name` what messages call the
    trial. A pruned trial is trained as far as it was. Device and precision are those recorded,
    unless they are given; `model` is the study's own one.

    Raises:
        StudyError: there is no such trial, or it is not finished.
        DataError: the data are gone or changed.
        DeviceError: the device is not there.
    """
    name = name or f"Trial {number}"
    record = with_model(read_record(study), study.study_name, model)
    trial = _finished_trial(study, record, number, name=name)
    job, run, score = job_of(trial), runs.read(trial.user_attrs.get("run", "")), record.score
    recorded = (numbers_of_run(run, score) if run else {}) | _numbers_of_trial(trial)
    data = sealed(open_recorded_data(study, record), record)
    # Another study may have trained the run first, and under stress.
    data = replace(data, is_stressed=data.is_stressed or bool(run and run.stress))
    here = with_device(
        replace(record, device=device or record.device, precision=precision or record.precision)
    )
    is_complete = trial.state == TrialState.COMPLETE
    n_epochs = job.config.epochs if is_complete else max(trial.intermediate_values)
    started, now, epoch = time.monotonic(), Numbers(), 0
    with closing(open_stack(here, data, n_lanes=1)) as stack:
        lane = stack.add(job.config, seed=job.seed, fold=job.fold)
        while lane in stack.lanes and epoch < n_epochs:
            for _, epoch, metrics in stack.step():
                found = numbers_of_epoch(epoch, to_epoch(metrics), score)
                now |= found
                known = {key: value for key, value in recorded.items() if key[0] == epoch}
                yield epoch, n_epochs, not differences(known, found)
        if is_complete:
            now |= _numbers_of_end(to_run(stack.result(lane), data, job), score)
    yield Reproduction(
        study=study.study_name,
        name=name,
        trial=number,
        metric=score,
        has_run=run is not None,
        n_epochs=epoch,
        recorded=recorded,
        now=now,
        changes=tuple(_changes(trial, job, run, record, here)),
        seconds=time.monotonic() - started,
    )


def differences(recorded: Numbers, now: Numbers) -> list[Difference]:
    """Return the recorded numbers that are others now, in the order of their epochs."""
    every = (
        Difference(None if epoch == AFTER else epoch, name, value, now.get((epoch, name)))
        for (epoch, name), value in sorted(recorded.items(), key=lambda item: item[0][0])
    )
    return [one for one in every if one.size > 0]


def numbers_of_epoch(number: int, epoch: Epoch, score: Score) -> Numbers:
    """Return the numbers of one epoch, and the score that was reported if it was measured."""
    named = {"training": epoch.train, "validation": epoch.validation, "mean stress": epoch.stress}
    numbers = {(number, "learning rate"): epoch.learning_rate} | _numbers(number, named)
    reported = score.of_epoch(epoch)
    return numbers if reported is None else numbers | {(number, "reported score"): reported}


def numbers_of_run(run: Run, score: Score) -> Numbers:
    """Return every number of a run file."""
    numbers: Numbers = {}
    for number, epoch in enumerate(run.epochs, start=1):
        numbers |= numbers_of_epoch(number, epoch, score)
    return numbers | _numbers_of_end(run, score)


def _numbers_of_end(run: Run, score: Score) -> Numbers:
    """Return the numbers of the kept weights; the test probabilities need no label."""
    value = score.of_run(run)
    numbers: Numbers = {} if value is None else {(AFTER, "score"): value}
    numbers[AFTER, "kept epoch"] = float(run.kept_epoch)
    named: dict[str, Mapping[str, float] | ImageProbabilities] = {}
    if other := run.other:
        of = f"of {other.weights} weights"
        named[f"validation {of}"] = other.validation
        named[f"validation probability {of}"] = other.validation_probabilities
        named[f"test probability {of}"] = other.test_probabilities
    named |= {
        "kept training": run.train,
        "kept validation": run.kept.validation,
        "validation probability": run.validation_probabilities,
        "test probability": run.test_probabilities,
        "trial's training": run.train,
        "trial's validation": run.kept.validation,
    }
    named |= {f"{change} validation": metrics for change, metrics in run.stress.items()}
    return numbers | _numbers(AFTER, named)


def _numbers_of_trial(trial: FrozenTrial) -> Numbers:
    metrics = trial.user_attrs.get("metrics", {})
    named = {
        "trial's training": metrics.get("train", {}),
        "trial's validation": metrics.get("validation", {}),
    }
    numbers = {(n, "reported score"): score for n, score in trial.intermediate_values.items()}
    numbers |= _numbers(AFTER, named)
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        numbers[AFTER, "score"] = trial.value
    return numbers


def _numbers(epoch: int, named: Mapping[str, Mapping[str, float] | ImageProbabilities]) -> Numbers:
    """Name each number by its group and its own name, or by its place from 1."""
    numbers: Numbers = {}
    for group, values in named.items():
        items = (
            values.items()
            if isinstance(values, Mapping)
            else enumerate(np.ravel(values).tolist(), start=1)
        )
        numbers |= {(epoch, f"{group} {str(name).replace('_', ' ')}"): v for name, v in items}
    return numbers


def _finished_trial(
    study: optuna.Study, record: StudyRecord, number: int, *, name: str
) -> FrozenTrial:
    trials, command = study.get_trials(deepcopy=False), in_command(study)
    trial = next((trial for trial in trials if trial.number == number), None)
    if trial is None:
        there = f"its trials are 0 to {len(trials) - 1}" if trials else "it has none yet"
        raise StudyError(
            f"The study {study.study_name} has no trial {number}: {there}. `hpo export {command} "
            "--weights none` lists them."
        )
    if number in read_trials(study, record).foreign:
        fault = (
            "was trained by another program, so there is nothing to compare. `hpo show "
            f"{command} --json` lists the trials that count."
        )
    elif trial.state == TrialState.FAIL or not has_job(trial):
        reason = trial.user_attrs.get("reason") or damage_of(trial) or "the reason is not recorded"
        fault = (
            f"failed ({reason.rstrip('.')}), so there is nothing to compare: hpo resume {command} "
            "trains it again."
        )
    elif not trial.state.is_finished():
        fault = f"is not finished. To continue: hpo resume {command}"
    else:
        return trial
    raise StudyError(f"{name} of {study.study_name} {fault}")


def _changes(
    trial: FrozenTrial, job: Job, run: Run | None, record: StudyRecord, here: StudyRecord
) -> Iterator[str]:
    """Yield what differs between the recorded environment and this one."""
    for old, new in ((record.device, here.device), (record.precision, here.precision)):
        if old != new:
            yield f"{old} then, {new} now"
    then, now = run.versions if run else record.versions, versions()
    for name in _VERSIONS:
        if name in then and then[name] != now[name]:
            yield f"{name} {then[name]} then, {now[name]} now"
    digest = trial.user_attrs.get("run")
    if digest and digest != run_key(record, job).digest():
        yield "hpo computed differently then (another generation of its numerics)"
