"""A job: one repeat of one configuration, as it is recorded in a trial."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import optuna
from optuna.trial import FrozenTrial

from hpo.config import Scalar, TrainingConfig
from hpo.search.pruning import Limits
from hpo.storage.runs import RunKey
from hpo.study.record import StudyRecord

_RECORDED: Final = {"ordinal", "params", "config", "repeat", "seed", "fold"}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a trial trains. `ordinal` numbers the configurations in the order they were asked.

    `report` names the report whose base it is, where it is one: no sampler is told of it.
    """

    ordinal: int
    params: Mapping[str, Scalar]
    config: TrainingConfig
    repeat: int
    seed: int
    fold: int
    report: str = ""

    @property
    def place(self) -> tuple[int, int]:
        """Ordinal and repeat: what no two trials of a study share but where one is a new try."""
        return self.ordinal, self.repeat

    def to_attributes(self) -> dict[str, Any]:
        """Return the job as the user attributes of its trial."""
        return {
            "ordinal": self.ordinal,
            "params": dict(self.params),
            "repeat": self.repeat,
            "seed": self.seed,
            "fold": self.fold,
            "report": self.report,
            # The last: a trial that has it is hpo's, and has all the others.
            "config": self.config.to_mapping(),
        }


@dataclass(frozen=True)
class Begun:
    """A trial that runs now, what it trains, and what ends it early."""

    trial: optuna.Trial
    job: Job
    limits: Limits = field(default_factory=dict)


class Source(Protocol):
    """Where the objective gets its trials from; all it knows is in the study."""

    def next(self, under_way: Collection[int] = ()) -> Begun | None:
        """Return the next trial to train, now running, or None when there is none at present.

        `under_way` are the numbers of those that are being trained: they are not handed out again.
        """
        ...

    def n_left(self) -> int:
        """Return how many trainings are left, those that run included."""
        ...


def has_job(trial: optuna.Trial | FrozenTrial) -> bool:
    """Whether a trial is one of hpo: other programs may give theirs a `config`, too."""
    return trial.user_attrs.keys() >= _RECORDED


def read_job(trial: optuna.Trial | FrozenTrial) -> Job | None:
    """Return the job on record in a trial, None where there is none yet."""
    if not has_job(trial):
        return None
    attributes = trial.user_attrs
    return Job(
        ordinal=attributes["ordinal"],
        params=attributes["params"],
        config=TrainingConfig.from_mapping(attributes["config"]),
        repeat=attributes["repeat"],
        seed=attributes["seed"],
        fold=attributes["fold"],
        report=attributes.get("report", ""),
    )


def job_of(trial: FrozenTrial) -> Job:
    """Return the job of a trial that has one."""
    job = read_job(trial)
    assert job is not None
    return job


def first_repeat(
    record: StudyRecord,
    *,
    ordinal: int,
    params: Mapping[str, Scalar],
    config: TrainingConfig,
    report: str = "",
) -> Job:
    """Return repeat 0 of a configuration: the study's seed is its seed and its fold."""
    return Job(
        ordinal=ordinal,
        params=params,
        config=config,
        repeat=0,
        seed=record.seed,
        fold=record.seed,
        report=report,
    )


def further_repeat(job: Job, repeat: int, *, record: StudyRecord) -> Job:
    """Return another repeat of the same configuration, with the seed and fold of that repeat."""
    seed = record.seed + repeat
    return replace(job, repeat=repeat, seed=seed, fold=seed)


def run_key(record: StudyRecord, job: Job) -> RunKey:
    """Return what decides the numbers of a job; data with one validation split have one fold."""
    return RunKey(
        config=job.config,
        seed=job.seed,
        fold=0 if record.data.has_own_validation else job.fold,
        fingerprint=record.data.fingerprint,
        device_type=record.device.partition(":")[0],
        precision=record.precision,
    )
