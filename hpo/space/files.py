"""Space files on disk and spaces as plain data: read with all faults at once, and written."""

import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from hpo.config import TrainingConfig, describe, did_you_mean, faults
from hpo.errors import ConfigError, SpaceError, fault_list
from hpo.files import at_home
from hpo.space.records import (
    NAMES,
    Choices,
    Parameter,
    Range,
    Space,
    Sweep,
    apply,
    both_forms,
    read_fields,
    uniform_width,
    unknown_name,
    value_text,
)

Document: TypeAlias = dict[str, Any]

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_TABLES: Final = ("base", "sweep", "search")
_MAX_BYTES: Final = 100_000
_LONGEST_NAME: Final = 200
# tomllib takes minutes for one line of 40,000 dots.
_LONGEST_LINE: Final = 2_000
_MOST_FAULTS: Final = 100


def space_names() -> list[str]:
    """Return the names of the spaces that come with hpo."""
    return sorted(path.stem for path in _shipped().glob("*.toml"))


def load_space(name_or_path: str) -> Space:
    """Read a space that comes with hpo, by name, or any space file, by path.

    Raises:
        SpaceError: it cannot be found or read, or has faults; all of them in one message.
    """
    path = _find(name_or_path)
    try:
        return read_space(_parse(path), name=path.stem, source=str(path))
    except RecursionError:
        raise SpaceError(f"{path} is nested too deeply for a space file.") from None


def read_space(raw: Mapping[str, object], *, name: str, source: str) -> Space:
    """Check the tables of a space file and build the space.

    Names come in one canonical order, whatever their order in the file.

    Raises:
        SpaceError: every fault at once; `source` says where they are.
    """
    found = [_unknown_table(key) for key in raw if key not in _TABLES]
    tables: dict[str, Mapping[str, object]] = {}
    for key in _TABLES:
        table = raw.get(key, {})
        tables[key] = table if isinstance(table, Mapping) else {}
        if not isinstance(table, Mapping):
            found.append(f"{key} must be a table, written [{key}], but is {describe(table)}.")
    base = _read_base(tables["base"], found)
    sweeps = _read_sweeps(tables["sweep"], base, found)
    search = _read_search(tables["search"], base, found)
    if found or base is None:
        more = [f"{len(found) - _MOST_FAULTS} more faults."] if len(found) > _MOST_FAULTS else []
        shown = [*found[:_MOST_FAULTS], *more]
        raise SpaceError(fault_list(f"{source} is not valid:", shown))
    return Space(name=name, base=base, sweeps=sweeps, search=search)


def to_document(space: Space) -> Document:
    """Return the space as plain data: the tables of a space file, every field written out."""
    return {
        "name": space.name,
        "base": space.base.model_dump(mode="json"),
        "sweep": {name: _sweep_document(sweep) for name, sweep in space.sweeps.items()},
        "search": {p.name: _search_document(p) for p in space.search},
    }


def from_document(document: object) -> Space:
    """Read a space back from plain data.

    Raises:
        SpaceError: this is no document of a space; all faults at once.
    """
    if not isinstance(document, Mapping):
        raise SpaceError(f"The recorded space must be a table, but is {describe(document)[:200]}.")
    tables = {key: value for key, value in document.items() if key != "name"}
    name = str(document.get("name", "recorded"))
    return read_space(tables, name=name, source=f"The recorded space {name}")


def space_differences(recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Say in words how the document of a space differs from the recorded one.

    Names of spaces do not count: a copy under another name is the same space.
    """
    old, new = dict(_leaves(recorded)), dict(_leaves(asked))
    return [
        f"{place} was {_text(old.get(place))}, now {_text(new.get(place))}"
        for place in dict.fromkeys([*old, *new])
        if old.get(place) != new.get(place) and place != "name"
    ]


def order_by_conditions(parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """Return parameters in the one order in which each comes after those that its `when` names.

    Raises:
        ValueError: conditions run in a circle.
    """
    left = {p.name: p for p in sorted(parameters, key=lambda p: NAMES.index(p.name))}
    ordered: list[Parameter] = []
    while left:
        ready = [p for p in left.values() if not p.when.keys() & left.keys()]
        if not ready:
            raise ValueError(f"The conditions of {', '.join(left)} run in a circle.")
        ordered += ready
        left = {name: p for name, p in left.items() if p not in ready}
    return tuple(ordered)


def _unknown_table(key: str) -> str:
    if key in NAMES:
        return f"Put {key} under [base], [sweep] or [search]."
    hint = did_you_mean(key, _TABLES) or "A space file has [base], [sweep] and [search]."
    return f"Unknown table {key[:60]!r}. {hint}"


def _unknown_key(key: str) -> str:
    hint = did_you_mean(key, [*Sweep.model_fields, *Range.model_fields, *Choices.model_fields])
    return f"Unknown key {key[:60]!r}. {hint}".strip()


def _read_base(table: Mapping[str, object], found: list[str]) -> TrainingConfig | None:
    try:
        return apply(TrainingConfig(), read_fields(table))
    except (ValueError, ConfigError) as error:
        found += faults(error, "base")
        return None


def _read_sweeps(
    table: Mapping[str, object], base: TrainingConfig | None, found: list[str]
) -> dict[str, Sweep]:
    found += [f"sweep: {unknown_name(name)}" for name in table if name not in NAMES]
    sweeps = {}
    for name in (name for name in NAMES if name in table):
        entry = table[name]
        form = entry if isinstance(entry, Mapping) else {"values": entry}
        try:
            sweeps[name] = Sweep.model_validate({**form, "name": name})
        except ValidationError as error:
            found += faults(error, f"sweep.{name}", unknown=_unknown_key)
            continue
        for value, label in zip(sweeps[name].values, sweeps[name].labels, strict=True):
            try:
                apply(apply(base or TrainingConfig(), sweeps[name].set), value)
            except ConfigError as error:
                place = f"sweep.{name}, value {value_text(label)}"
                found += faults(error, place) if base else []
    return sweeps


def _read_search(
    table: Mapping[str, object], base: TrainingConfig | None, found: list[str]
) -> tuple[Parameter, ...]:
    found += [f"search: {unknown_name(name)}" for name in table if name not in NAMES]
    found += [f"search: {fault}" for fault in both_forms(table)]
    if base and "layers" in table and "width" not in table and not uniform_width(base):
        found.append(
            f"search.layers: It needs one width, but base.hidden = {describe(base.hidden)}. "
            "Search width too."
        )
    searched: dict[str, Parameter] = {}
    for name in (name for name in NAMES if name in table):
        place, entry = f"search.{name}", table[name]
        if not isinstance(entry, Mapping) or not entry.keys() & {"low", "high", "choices"}:
            wanted = "a table with low and high, or with choices"
            found.append(f"{place} must be {wanted}, but is {describe(entry)}.")
            continue
        kind = Choices if "choices" in entry else Range
        try:
            searched[name] = kind.model_validate({**entry, "name": name})
        except ValidationError as error:
            found += faults(error, place, unknown=_unknown_key)
    for parameter in searched.values():
        for other, labels in parameter.when.items():
            place = f"search.{parameter.name}.when: {other}"
            if other not in table:
                found.append(f"{place} is not searched. Add it to [search].")
            elif other in searched:
                found += [
                    f"{place} must be {searched[other].allowed}, but is {value_text(label)}."
                    for label in labels
                    if not searched[other].contains(label)
                ]
    try:
        return order_by_conditions(searched.values())
    except ValueError as error:
        found += faults(error, "search")
        return ()


def _sweep_document(sweep: Sweep) -> Document:
    document = sweep.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
    values = [value[sweep.name] if len(value) == 1 else value for value in document["values"]]
    return document | {"values": values}


def _search_document(parameter: Parameter) -> Document:
    document = parameter.model_dump(mode="json", exclude={"name"})
    absent: tuple[tuple[str, object], ...] = (("step", 1), ("when", {}))
    return {key: value for key, value in document.items() if (key, value) not in absent}


def _leaves(table: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values of nested tables with their places: `search.gamma.low`."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", value


def _text(value: object) -> str:
    return "absent" if value is None else describe(value)


def _shipped() -> Path:
    """Return the folder of the shipped files: in the package, or beside it in a checkout."""
    installed = _PACKAGE / "search_spaces"
    return installed if installed.is_dir() else _PACKAGE.parent / "search_spaces"


def _find(name_or_path: str) -> Path:
    names = space_names()
    if name_or_path in names:
        return _shipped() / f"{name_or_path}.toml"
    path = at_home(name_or_path)
    shown = repr(name_or_path[:_LONGEST_NAME])
    choose = f"Use a TOML file, or one of {', '.join(names)}."
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        hint = did_you_mean(name_or_path[:_LONGEST_NAME], names) or choose
        raise SpaceError(f"There is no space {shown}. {hint}") from None
    if stat.S_ISREG(mode):
        return path
    kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
    raise SpaceError(f"The space {shown} is {kind}. {choose}")


def _parse(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SpaceError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > _MAX_BYTES:
        raise SpaceError(f"{path} is larger than 100 kB. A space file is a short TOML file.")
    try:
        text = content.decode("utf-8-sig")
        for number, line in enumerate(text.splitlines(), start=1):
            if len(line) > _LONGEST_LINE:
                raise SpaceError(
                    f"{path}, line {number} is longer than {_LONGEST_LINE} characters. "
                    "A space file has short lines."
                )
        return tomllib.loads(text)
    except UnicodeDecodeError:
        raise SpaceError(f"{path} is not UTF-8 text. A space file is a TOML file.") from None
    except ValueError as error:
        raise SpaceError(f"{path} is not valid TOML: {error}.") from None
