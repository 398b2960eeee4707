"""The record and the goal of a study as plain data, and back; a database can be tampered with."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any, Final, TypeVar, cast, get_args

from hpo import space as spaces
from hpo.config import TrainingConfig
from hpo.study.record import MOST_TRIALS, PRUNERS, SAMPLERS, DataInfo, Goal, Kind, StudyRecord
from hpo.study.score import SCORES

T = TypeVar("T")

FORMAT: Final = 2
_MOST: Final = 1_000_000
_LARGEST: Final = 1e9

_WHERE_RECORDED: Final[dict[str, Any]] = {
    "report": str,
    "seconds": int | float,
    "is_reused": bool,
    "reason": str,
    "metrics": dict,
}
"""What not every trial has, and its type."""


def to_document(record: StudyRecord) -> dict[str, Any]:
    """Return a record as plain data."""
    return {
        "format": FORMAT,
        **record.identity(),
        "data": asdict(record.data) | {"notes": list(record.data.notes)},
        "device": record.device,
        "is_gpu_named": record.is_gpu_named,
        "precision": record.precision,
        "window": record.window,
        "command": record.command,
        "versions": record.versions,
    }


def to_record(document: object) -> StudyRecord:
    """Return the record that a document holds.

    Raises:
        ValueError: it holds none: what is missing, or of another type.
    """
    if not isinstance(document, dict):
        raise ValueError(f"it is of type {type(document).__name__}")
    versions = _get(document, "versions", dict)
    kind = cast(Kind, _one_of(document, "kind", get_args(Kind)))
    names = tuple(_all(_get(document, "names", list), str))
    space = _space(_get(document, "space", dict))
    known = space.sweeps.keys() if kind == "grid" else {p.name for p in space.search}
    if not names or not known >= set(names):
        raise ValueError("names are not those of its space")
    return StudyRecord(
        kind=kind,
        names=names,
        space=space,
        data=_data(_get(document, "data", dict)),
        device=_get(document, "device", str),
        precision=_get(document, "precision", str),
        seed=_count(document, "seed"),
        sampler=_one_of(document, "sampler", (*SAMPLERS, "grid")),
        pruner=_one_of(document, "pruner", PRUNERS),
        command=_get(document, "command", str),
        versions={name: str(version) for name, version in versions.items()},
        metric=_one_of(document, "metric", SCORES),
        window=_count(document, "window"),
        # Absent from studies that were made before it was recorded.
        is_gpu_named=document.get("is_gpu_named") is True,
    )


def to_goal(document: object) -> Goal:
    """Return the goal that a document holds; what is absent is the least.

    Raises:
        ValueError: it holds something else.
    """
    if not isinstance(document, dict):
        raise ValueError(f"a goal of type {type(document).__name__}")
    goal = Goal(
        n_repeats=max(1, _count(document, "n_repeats", default=1)),
        n_trials=_count(document, "n_trials", default=0),
        n_finalists=_count(document, "n_finalists", default=0),
        n_final_repeats=_count(document, "n_final_repeats", default=0),
        with_baselines=document.get("with_baselines") is True,
    )
    if goal.n_trainings > MOST_TRIALS:
        raise ValueError(f"a goal of {goal.n_trainings:,} trainings, of at most {MOST_TRIALS:,}")
    return goal


def check_trial(
    attributes: Mapping[str, Any], params: Mapping[str, Any], scores: Collection[float]
) -> None:
    """Check what hpo recorded in a trial; one of another program may hold anything.

    `params` are those that Optuna recorded, `scores` all that it was told.

    Raises:
        ValueError: the first field that is damaged.
        ConfigError: the configuration cannot be trained.
    """
    if not attributes.keys() & {"config", "ordinal"}:
        return
    for name in ("repeat", "seed", "fold"):
        _count(attributes, name, high=2 * _MOST)
    _count(attributes, "ordinal", low=-_MOST)
    _count(attributes, "n_epochs", default=0)
    if _get(attributes, "params", dict) != params:
        raise ValueError("params are not those of the trial")
    _check_config(json.dumps(_get(attributes, "config", dict)))
    for name, kind in _WHERE_RECORDED.items():
        if name in attributes:
            _get(attributes, name, kind)
    if not 0 <= attributes.get("seconds", 0) < _LARGEST:
        raise ValueError(f"seconds is {attributes['seconds']}")
    metrics = attributes.get("metrics", {})
    measured = [_get(metrics, split, dict) for split in metrics]
    # The loss of a training that diverged may be anything; without one class there is no AUROC.
    values = [v for one in measured for name, v in one.items() if name != "loss"]
    if not all(map(_is_number, values)):
        raise ValueError("metrics hold another value than a number")
    if not all(abs(score) < _LARGEST for score in scores):
        raise ValueError("a score is not finite")


@lru_cache(maxsize=1_000)
def _check_config(text: str) -> None:
    TrainingConfig.from_mapping(json.loads(text))


def to_baselines(document: object) -> dict[str, float]:
    """Return the scores of the baselines that a document holds.

    Raises:
        ValueError: it holds something else.
    """
    if not isinstance(document, dict) or not all(map(_is_number, document.values())):
        raise ValueError("'baselines' holds another value than a number")
    return document


def _space(document: Mapping[str, Any]) -> spaces.Space:
    try:
        return spaces.from_document(document)
    except (AttributeError, KeyError, TypeError) as problem:
        raise ValueError(f"space: {problem}") from None


def _data(document: Mapping[str, Any]) -> DataInfo:
    path = document.get("path")
    # Absent from studies that were made before they were recorded; all 16 bits were read then.
    document = {"notes": [], "bits": 16} | dict(document)
    if {field.name for field in fields(DataInfo)} != document.keys():
        raise ValueError("data: other fields")
    if path is not None and not isinstance(path, str):
        raise ValueError("data.path")
    return DataInfo(
        path=path,
        name=_get(document, "name", str),
        fingerprint=_get(document, "fingerprint", str),
        is_phantom=_get(document, "is_phantom", bool),
        has_own_validation=_get(document, "has_own_validation", bool),
        n_train=_count(document, "n_train"),
        n_validation=_count(document, "n_validation"),
        n_test=_count(document, "n_test"),
        notes=tuple(_all(_get(document, "notes", list), str)),
        bits=_count(document, "bits"),
    )


def _get(document: Mapping[str, Any], name: str, kind: type[T]) -> T:
    if name not in document:
        raise ValueError(f"{name} is missing")
    value = document[name]
    if not isinstance(value, kind):
        raise ValueError(f"{name} is of type {type(value).__name__}")
    return value


def _one_of(document: Mapping[str, Any], name: str, allowed: Collection[str]) -> str:
    value = _get(document, name, str)
    if value not in allowed:
        raise ValueError(f"{name} is {value[:40]!r}")
    return value


def _all(values: list[Any], kind: type[T]) -> list[T]:
    if not all(isinstance(value, kind) for value in values):
        raise ValueError("a list of other things")
    return values


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and not abs(value) > _LARGEST  # type: ignore[arg-type]


def _count(
    document: Mapping[str, Any],
    name: str,
    *,
    default: int | None = None,
    low: int = 0,
    high: int = _MOST,
) -> int:
    value = document.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} is no whole number from {low:,} to {high:,}")
    return value
