"""The record and the goal of a study as plain data, and back; a database can be tampered with."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import Any, Final, TypeVar, cast, get_args

from hpo import space as spaces
from hpo.score import SCORES
from hpo.study_record import DataInfo, Goal, Kind, StudyRecord

T = TypeVar("T")

FORMAT: Final = 2
_MOST: Final = 1_000_000


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


def to_record(document: Mapping[str, Any]) -> StudyRecord:
    """Return the record that a document holds.

    Raises:
        ValueError: it holds none: what is missing, or of another type.
    """
    versions = _get(document, "versions", dict)
    return StudyRecord(
        kind=cast(Kind, _one_of(document, "kind", get_args(Kind))),
        names=tuple(_all(_get(document, "names", list), str)),
        space=_space(_get(document, "space", dict)),
        data=_data(_get(document, "data", dict)),
        device=_get(document, "device", str),
        precision=_get(document, "precision", str),
        seed=_count(document, "seed"),
        sampler=_get(document, "sampler", str),
        pruner=_get(document, "pruner", str),
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
    return Goal(
        n_repeats=max(1, _count(document, "n_repeats", default=1)),
        n_trials=_count(document, "n_trials", default=0),
        n_finalists=_count(document, "n_finalists", default=0),
        n_final_repeats=_count(document, "n_final_repeats", default=0),
        with_baselines=document.get("with_baselines") is True,
    )


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
    value = document.get(name)
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


def _count(document: Mapping[str, Any], name: str, *, default: int | None = None) -> int:
    value = document.get(name, default)
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError(f"{name} is no number from 0 to {_MOST:,}")
    return value
