"""Spaces of an own model: of a space file that names one, or of any other with the model in it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo import models
from hpo.config import OwnModel, TrainingConfig
from hpo.errors import SpaceError
from hpo.space.edit import settle
from hpo.space.files import parse_space, read_space
from hpo.space.records import Choices, Parameter, Range, Space, Sweep


def open_space(found: str | Mapping[str, Any], model: str | None = None) -> Space:
    """Read a space by name or path, or its tables, with an own model that is given or named there.

    A file without a `[model]` is of the built-in network: what it says of that one is left out,
    and the values and ranges that the model declares come in its place.

    Raises:
        SpaceError: it cannot be found or read, or has faults.
        ModelError: the model cannot be used.
    """
    is_file = isinstance(found, str)
    path, raw = parse_space(found) if isinstance(found, str) else (Path("library"), dict(found))
    name, source, folder = path.stem, str(path) if is_file else "The space", None
    table = raw.pop("model", None)
    if table is not None and model is None:
        model, folder = _entry_of(table, source), path.parent
    if model is None:
        return read_space(raw, name=name, source=source)
    own, code = models.open_own(model, folder=folder)
    is_own = not is_file or table is not None
    is_own = is_own or any("model" in t for t in raw.values() if isinstance(t, dict))
    space = read_space(
        _flat(raw) if is_own else raw, name=name, source=source, model=own if is_own else None
    )
    if not is_own:
        space = _with_model(space, own)
    sweeps = {name: sweep for name, sweep in _declared_sweeps(own) if name not in space.sweeps}
    sweeps |= space.sweeps
    ordered = {name: sweeps[name] for name in space.names if name in sweeps}
    return replace(space, sweeps=ordered, code=code)


def _entry_of(table: object, source: str) -> str:
    match table:
        case {"entry": str(entry), **others} if not others:
            return entry
    raise SpaceError(f'{source}: write the model as [model] and entry = "FILE.py:NAME".')


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Write `model.channels` as `channels`, wherever it stands."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        inner = _flat(value) if isinstance(value, Mapping) else value
        found |= inner if key == "model" and isinstance(inner, dict) else {key: inner}
    return found


def _with_model(space: Space, own: OwnModel) -> Space:
    idle = {*own.idle_fields, "layers", "width"}
    fields = {n: v for n, v in space.base.to_mapping().items() if n not in idle}
    fields |= {"epochs": 1} if "epochs" in idle else {}
    base = TrainingConfig.from_mapping(fields | {"model": own})
    sweeps = {
        name: sweep
        for name, sweep in space.sweeps.items()
        if not idle & {name, *sweep.set, *(n for value in sweep.values for n in value)}
    }
    declared = tuple(_declared_ranges(own))
    search = settle(space, idle, space.base)
    return replace(space, base=base, sweeps=sweeps, search=(*declared, *search))


def _declared_sweeps(own: OwnModel) -> list[tuple[str, Sweep]]:
    values = {d.name: [False, True] if d.kind == "bool" else d.choices for d in own.signature}
    return [
        (name, Sweep.model_validate({"name": name, "values": some}, context=own.signature))
        for name, some in values.items()
        if some
    ]


def _declared_ranges(own: OwnModel) -> list[Parameter]:
    found: list[Parameter] = []
    for d in own.signature:
        raw: dict[str, Any] = {"name": d.name}
        # Scikit-learn's own switches were not written for this: `estimator` says which to search.
        if d.choices or (d.kind == "bool" and own.kind == "network"):
            raw["choices"] = d.choices or (False, True)
            found.append(Choices.model_validate(raw, context=own.signature))
        elif d.low is not None:
            raw |= {"low": d.low, "high": d.high, "log": d.log}
            found.append(Range.model_validate(raw, context=own.signature))
    return found
