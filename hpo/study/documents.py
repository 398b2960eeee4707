"""The record and the goal of a study as plain data, and back; a database can be tampered with."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import Any, Final, TypeVar, cast, get_args

from hpo import space as spaces
from hpo.storage import MOST_TRIALS
from hpo.storage.database import get_count, get_typed, is_number
from hpo.study.record import PRUNERS, SAMPLERS, DataInfo, Goal, Kind, StudyRecord
from hpo.study.score import SCORES

T = TypeVar("T")

FORMAT: Final = 2


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
    versions = get_typed(document, "versions", dict)
    kind = cast(Kind, _one_of(document, "kind", get_args(Kind)))
    names = tuple(_all(get_typed(document, "names", list), str))
    space = _space(get_typed(document, "space", dict))
    known = space.sweeps.keys() if kind == "grid" else {p.name for p in space.search}
    if not names or not known >= set(names):
        raise ValueError("names are not those of its space")
    return StudyRecord(
        kind=kind,
        names=names,
        space=space,
        data=_data(get_typed(document, "data", dict)),
        device=get_typed(document, "device", str),
        precision=get_typed(document, "precision", str),
        seed=get_count(document, "seed"),
        sampler=_one_of(document, "sampler", (*SAMPLERS, "grid")),
        pruner=_one_of(document, "pruner", PRUNERS),
        command=get_typed(document, "command", str),
        versions={name: str(version) for name, version in versions.items()},
        metric=_one_of(document, "metric", SCORES),
        window=get_count(document, "window"),
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
        n_repeats=max(1, get_count(document, "n_repeats", default=1)),
        n_trials=get_count(document, "n_trials", default=0),
        n_finalists=get_count(document, "n_finalists", default=0),
        n_final_repeats=get_count(document, "n_final_repeats", default=0),
        with_baselines=document.get("with_baselines") is True,
    )
    if goal.n_trainings > MOST_TRIALS:
        raise ValueError(f"a goal of {goal.n_trainings:,} trainings, of at most {MOST_TRIALS:,}")
    return goal


def to_baselines(document: object) -> dict[str, float]:
    """Return the scores of the baselines that a document holds.

    Raises:
        ValueError: it holds something else.
    """
    if not isinstance(document, dict) or not all(map(is_number, document.values())):
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
        name=get_typed(document, "name", str),
        fingerprint=get_typed(document, "fingerprint", str),
        is_phantom=get_typed(document, "is_phantom", bool),
        has_own_validation=get_typed(document, "has_own_validation", bool),
        n_train=get_count(document, "n_train"),
        n_validation=get_count(document, "n_validation"),
        n_test=get_count(document, "n_test"),
        notes=tuple(_all(get_typed(document, "notes", list), str)),
        bits=get_count(document, "bits"),
    )


def _one_of(document: Mapping[str, Any], name: str, allowed: Collection[str]) -> str:
    value = get_typed(document, name, str)
    if value not in allowed:
        raise ValueError(f"{name} is {value[:40]!r}")
    return value


def _all(values: list[Any], kind: type[T]) -> list[T]:
    if not all(isinstance(value, kind) for value in values):
        raise ValueError("a list of other things")
    return values
