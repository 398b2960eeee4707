"""A space as plain data, for a study's record, and the differences of two records in words."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from hpo.config import Value, describe
from hpo.errors import SpaceError
from hpo.space.reading import read_space
from hpo.space.records import Choices, IntRange, Parameter, Space, Sweep, SweepValue

Document: TypeAlias = dict[str, object]


def to_document(space: Space) -> Document:
    """Return the space as plain data: the tables of a space file, every field written out."""
    return {
        "name": space.name,
        "base": _plain_fields(space.base.to_mapping().items()),
        "sweep": {name: _sweep_document(sweep) for name, sweep in space.sweeps.items()},
        "search": {p.name: _parameter_document(p) for p in space.search},
    }


def from_document(document: object) -> Space:
    """Read a space back from plain data.

    Raises:
        SpaceError: this is no document of a space; all faults at once.
    """
    if not isinstance(document, Mapping):
        raise SpaceError(f"The recorded space takes tables, but got {describe(document)[:200]}")
    tables = {key: value for key, value in document.items() if key != "name"}
    name = str(document.get("name", "recorded"))
    return read_space(tables, name=name, source=f"The recorded space {name}")


def space_differences(recorded: Mapping[str, object], asked: Mapping[str, object]) -> list[str]:
    """Say in words how a space differs from the recorded one, `[]` if it does not.

    Names of spaces do not count: a copy under another name is the same space.
    """
    differences = []
    for table in ("base", "sweep", "search"):
        before, after = _as_table(recorded.get(table)), _as_table(asked.get(table))
        for name in dict.fromkeys([*before, *after]):
            differences += _entry_differences(f"{table}.{name}", before.get(name), after.get(name))
    return differences


def _entry_differences(place: str, before: object, after: object) -> list[str]:
    if before == after:
        return []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return [
            f"{place}.{key} was {_text(before.get(key))}, now {_text(after.get(key))}"
            for key in dict.fromkeys([*before, *after])
            if before.get(key) != after.get(key)
        ]
    return [f"{place} was {_text(before)}, now {_text(after)}"]


def _as_table(raw: object) -> Mapping[str, object]:
    return raw if isinstance(raw, Mapping) else {}


def _text(value: object) -> str:
    """Write plain data as a space file would; absent: `not there`."""
    if value is None:
        return "not there"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_text(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return describe(value)


def _plain(value: Value) -> object:
    return list(value) if isinstance(value, tuple) else value


def _plain_fields(fields: Iterable[tuple[str, Value]]) -> Document:
    return {name: _plain(value) for name, value in fields}


def _sweep_document(sweep: Sweep) -> Document:
    document: Document = {"values": [_sweep_value(value) for value in sweep.values]}
    if sweep.set:
        document["set"] = _plain_fields(sweep.set)
    return document


def _sweep_value(value: SweepValue) -> object:
    return _plain(value.fields[0][1]) if len(value.fields) == 1 else _plain_fields(value.fields)


def _parameter_document(parameter: Parameter) -> Document:
    domain = parameter.domain
    document: Document
    if isinstance(domain, Choices):
        document = {"choices": [_plain(value) for value in domain.values]}
    else:
        document = {"low": domain.low, "high": domain.high, "log": domain.log}
    if isinstance(domain, IntRange) and domain.step != 1:
        document["step"] = domain.step
    if parameter.when:
        document["when"] = {name: list(labels) for name, labels in parameter.when}
    return document
