"""Retraining recorded jobs, without the run store, for the weights or to compare.

Each number of a training is identified by its epoch and name; epoch `AFTER` is after the last.
The numbers of the trial are recorded separately, under other names: either record may be wrong.
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
from hpo.run.session import lanes_of, open_stack, sealed, with_device, with_model
from hpo.storage.database import damage_of
from hpo.storage.opening import in_command
from hpo.storage.runs import RunStore
from hpo.study.record import StudyRecord
from hpo.study.score import Score
from hpo.study.study import open_recorded_data, read_record
from hpo.study.trials import Job, has_job, job_of, read_trials, run_key
from hpo.training.engine import Epoch, Run, TrainingResult
from hpo.training.machine import versions

Retrained: TypeAlias = Generator[tuple[Job, TrainingResult], None, None]
Numbers: TypeAlias = dict[tuple[int, str], float]

AFTER: Final = sys.maxsize

# Half a point of accuracy; half a percent for losses above 1. Training amplifies rounding: on
# real X-rays another instruction set exceeded this after 1 to 7 epochs in fp32, in the first in
# bf16 (docs/reproduce.md). A tolerance for whole trainings would also accept other seeds.
TOLERANCE: Final = 0.005
_EXACT: Final = ("learning rate", "kept epoch")  # They are not computed from pixels.
_VERSIONS: Final = ("hpo", "torch", "numpy", "scikit-learn", "python", "processor")


@dataclass(frozen=True)
class Difference:
    """A number that differs from the record; `now` is None if training ended before it.

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
        """Whether rounding can explain it."""
        return self.size <= TOLERANCE and self.metric not in _EXACT

    def text(self, between: str) -> str:
        """Return the name of the number and, after `between`, its values."""
        when = "after the last epoch" if self.epoch is None else f"of epoch {self.epoch}"
        now = "none" if self.now is None else f"{self.now:.6g}"
        return f"the {self.metric} {when}{between}{self.recorded:.6g} recorded, {now} now"


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A trial that was trained again for `n_epochs` epochs, with the recorded and the new numbers.

    `name` is used in messages, `trial` is Optuna's number; `metric` is the score of the study.
    Without `has_run`, only the numbers stored in the trial were compared. `changes` lists the
    differences between the recorded environment and this one; `model` names a custom model, which
    is unchanged.
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
    model: str = ""

    @cached_property
    def differences(self) -> list[Difference]:
        """The numbers that differ, in the order of their epochs."""
        return differences(self.recorded, self.now)

    @property
    def begins(self) -> Difference | None:
        """The first difference that rounding cannot explain."""
        return next((d for d in self.differences if not d.is_rounding), None)

    @property
    def largest(self) -> Difference | None:
        """The largest difference."""
        return max(self.differences, key=lambda d: d.size, default=None)

    @property
    def result(self) -> Literal["equal", "equal_within_rounding", "different"]:
        """The result of the comparison."""
        if self.begins:
            return "different"
        return "equal_within_rounding" if self.differences else "equal"

    def sentences(self) -> Iterator[str]:
        """Describe the result: the answer first, then the evidence."""
        n, n_equal = len(self.recorded), len(self.recorded) - len(self.differences)
        same = f"{n_equal:,} of {n:,} recorded numbers are the same"
        rounding = f"Differences up to {TOLERANCE:g} count as rounding."
        if self.begins:
            answer = f"different, starting with {self.begins.text(': ')}. {same}. {rounding}"
        elif self.largest:
            largest = f"{self.largest.size:.2g}, in {self.largest.text(' (')})"
            answer = f"equal within rounding. {same}; the largest difference is {largest}. "
            answer += rounding
        else:
            answer = f"equal. All {n:,} recorded numbers are the same, to the last bit."
        yield f"{self.name} of {self.study}: {answer}"
        scores = [numbers.get((AFTER, "score")) for numbers in (self.recorded, self.now)]
        if scores[0] is None:
            yield f"It was pruned in epoch {self.n_epochs}, so the reported scores were compared."
        else:
            # If the new training diverged, it has no score.
            then, now = ("none" if s is None else self.metric.text(s, digits=2) for s in scores)
            yield f"Score ({self.metric.title}): {then} recorded, {now} now."
            if not self.has_run:
                yield (
                    "Its run file is missing, so only the numbers in the trial were compared: the "
                    "score of each epoch, and the metrics of the kept weights."
                )
        if self.changes:
            yield f"The environment changed: {'; '.join(self.changes)}."
            if self.result == "different":
                yield (
                    "Rounding depends on processor, device, precision and versions, and training "
                    "amplifies it until two trainings differ as much as two seeds. This alone may "
                    "explain the difference."
                )
        elif self.differences and self.model:
            yield f"Environment and {self.model} are unchanged, so the model is not deterministic."
        elif self.differences:
            yield "The environment is unchanged, so the code or the record has changed."

    def to_document(self) -> dict[str, Any]:
        """Return the document of `hpo reproduce --json`."""
        first = self.differences[0] if self.differences else None
        extremes = {"first": first, "begins": self.begins, "largest": self.largest}
        recorded, now = (numbers.get((AFTER, "score")) for numbers in (self.recorded, self.now))
        plain = ("result", "study", "trial", "n_epochs", "has_run", "seconds")
        return {
            **{name: getattr(self, name) for name in plain},
            "n_numbers": len(self.recorded),
            "n_equal": len(self.recorded) - len(self.differences),
            "tolerance": TOLERANCE,
            **{name: item and asdict(item) for name, item in extremes.items()},
            "score": {"name": self.metric.name, "recorded": recorded, "now": now},
            "changes": list(self.changes),
            "sentences": list(self.sentences()),
        }


def retrain(
    study: optuna.Study, jobs: Sequence[Job], *, lanes: int | None = None, model: str | None = None
) -> Retrained:
    """Train jobs again on the study's own data and device; yield each result when it is done.

    As many run in parallel as in the study, or `lanes`; `model` is its custom model. If memory
    runs out, unfinished jobs restart, half as many at once.

    Raises:
        DataError: the data are missing or have changed.
        DeviceError: the device is not available.
        OutOfMemoryError: there is not enough memory for a single job.
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
) -> Iterator[tuple[int, int] | Reproduction]:
    """Train a trial again and compare every recorded number.

    Yields the number of each epoch and the total; the outcome is yielded last. `number` is
    Optuna's, `name` is used in messages. A pruned trial is trained up to its last epoch. Device
    and precision are the recorded ones unless given; `model` is the custom model of the study.

    Raises:
        StudyError: there is no such trial, or it is not finished.
        DataError: the data are missing or have changed.
        DeviceError: the device is not available.
    """
    name = name or f"Trial {number}"
    record = with_model(read_record(study), study.study_name, model)
    trial = _finished_trial(study, record, number, name=name)
    job, run, score = job_of(trial), runs.read(trial.user_attrs.get("run")), record.score
    data = sealed(open_recorded_data(study, record), record)
    # The run may come from another study, which measured under stress.
    data = replace(data, is_stressed=data.is_stressed or bool(run and run.stress))
    here = with_device(
        replace(record, device=device or record.device, precision=precision or record.precision)
    )
    is_complete = trial.state == TrialState.COMPLETE
    n_epochs = job.config.epochs if is_complete else max(trial.intermediate_values)
    started, epochs = time.monotonic(), list[Epoch]()
    with closing(open_stack(here, data, n_lanes=1)) as stack:
        lane = stack.add(job.config, seed=job.seed, fold=job.fold)
        while lane in stack.lanes and len(epochs) < n_epochs:
            for _, epoch, metrics in stack.step():
                epochs.append(metrics)
                yield epoch, n_epochs
        new_run = stack.result(lane).run if is_complete else None
    recorded = numbers_of(run.epochs, run, score) if run else {}
    yield Reproduction(
        study=study.study_name,
        name=name,
        trial=number,
        metric=score,
        has_run=run is not None,
        n_epochs=len(epochs),
        recorded=recorded | _numbers_of_trial(trial),
        now=numbers_of(epochs, new_run, score),
        changes=tuple(_changes(trial, job, run, record, here)),
        seconds=time.monotonic() - started,
        model=job.config.model.entry if job.config.model else "",
    )


def differences(recorded: Numbers, now: Numbers) -> list[Difference]:
    """Return the numbers that differ, in the order of their epochs."""
    compared = (
        Difference(None if epoch == AFTER else epoch, name, value, now.get((epoch, name)))
        for (epoch, name), value in sorted(recorded.items(), key=lambda item: item[0][0])
    )
    return [difference for difference in compared if difference.size > 0]


def numbers_of(epochs: Sequence[Epoch], run: Run | None, score: Score) -> Numbers:
    """Return every number of a training: those of each epoch and, for a run, the final ones."""
    numbers: Numbers = {}
    for number, epoch in enumerate(epochs, start=1):
        named = {"learning rate": epoch.learning_rate, "reported score": score.of_epoch(epoch)}
        measured = {"training": epoch.train, "validation": epoch.validation}
        numbers |= _flat(number, named | measured | {"mean stress": epoch.stress})
    if run is None:
        return numbers
    after: dict[str, object] = {
        "score": score.of_run(run),
        "kept epoch": float(run.kept_epoch),
        "kept training": run.train,
        "kept validation": run.kept.validation,
        "validation probability": run.validation_probabilities,
        "test probability": run.test_probabilities,
        "trial's training": run.train,
        "trial's validation": run.kept.validation,
    }
    if other := run.other:
        of = f"of {other.weights} weights"
        after[f"validation {of}"] = other.validation
        after[f"validation probability {of}"] = other.validation_probabilities
        after[f"test probability {of}"] = other.test_probabilities
    after |= {f"{change} validation": metrics for change, metrics in run.stress.items()}
    return numbers | _flat(AFTER, after)


def _numbers_of_trial(trial: FrozenTrial) -> Numbers:
    numbers = {(n, "reported score"): score for n, score in trial.intermediate_values.items()}
    metrics = trial.user_attrs.get("metrics", {})
    named = {
        "trial's training": metrics.get("train"),
        "trial's validation": metrics.get("validation"),
        "score": trial.value if trial.state == TrialState.COMPLETE else None,
    }
    return numbers | _flat(AFTER, named)


def _flat(epoch: int, named: Mapping[str, Any]) -> Numbers:
    """Return each number of a group by the names of both, or by its position from 1."""
    numbers: Numbers = {}
    for group, value in named.items():
        if isinstance(value, int | float):
            numbers[epoch, group] = value
        elif isinstance(value, Mapping):
            numbers |= {(epoch, f"{group} {n.replace('_', ' ')}"): v for n, v in value.items()}
        elif value is not None:
            values = enumerate(np.ravel(value).tolist(), start=1)
            numbers |= {(epoch, f"{group} {n}"): v for n, v in values}
    return numbers


def _finished_trial(
    study: optuna.Study, record: StudyRecord, number: int, *, name: str
) -> FrozenTrial:
    trials, command = study.get_trials(deepcopy=False), in_command(study)
    command += record.model_option
    trial = next((trial for trial in trials if trial.number == number), None)
    if trial is None:
        existing = f"its trials are 0 to {len(trials) - 1}" if trials else "it has none yet"
        raise StudyError(f"The study {study.study_name} has no trial {number}: {existing}.")
    if number in read_trials(study, record).foreign:
        fault = "was trained by another program, so there is nothing to compare."
    elif trial.state == TrialState.FAIL or not has_job(trial):
        reason = trial.user_attrs.get("reason") or damage_of(trial) or "the reason is not recorded"
        fault = (
            f"failed ({reason.rstrip('.')}), so there is nothing to compare. hpo resume {command} "
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
    """Yield the differences between the recorded environment and this one."""
    then, now = run.versions if run else record.versions, versions()
    for old, new in ((record.device, here.device), (record.precision, here.precision)):
        if old != new:
            yield f"{old} then, {new} now"
    for name in _VERSIONS:
        if name in then and then[name] != now[name]:
            yield f"{name} {then[name]} then, {now[name]} now"
    digest = trial.user_attrs.get("run")
    if digest and digest != run_key(record, job).digest():
        yield "the numerics of hpo have changed since then"
