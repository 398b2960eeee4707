"""Space files on disk and spaces as plain data: read with all faults at once, and written."""

import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, PlainValidator, ValidationInfo

from hpo.config import (
    STRICT,
    CustomModel,
    Scalar,
    Signature,
    TrainingConfig,
    describe,
    did_you_mean,
    faults,
)
from hpo.errors import ConfigError, SpaceError, fault_list
from hpo.files import at_home, read_toml
from hpo.space.cells import read_point
from hpo.space.records import (
    Choices,
    Parameter,
    Range,
    SomeFields,
    Space,
    Sweep,
    apply,
    both_forms,
    names_of,
    uniform_width,
    unknown_name,
    value_text,
)

Document: TypeAlias = dict[str, Any]

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_TABLES: Final = ("base", "sweep", "search", "start")
_UNWRITTEN: Final[Document] = {"step": 1, "when": {}}


def _with_names(entries: object, info: ValidationInfo) -> object:
    """Add the name to each entry, in the canonical order; a list means values."""
    if not isinstance(entries, Mapping):
        return entries
    ordered = {name: entries[name] for name in names_of(info.context) if name in entries}
    forms = {n: e if isinstance(e, Mapping) else {"values": e} for n, e in ordered.items()}
    return {name: {**form, "name": name} for name, form in forms.items()}


def _read_parameter(entry: dict[str, Any], info: ValidationInfo) -> Parameter:
    if not entry.keys() & {"low", "high", "choices"}:
        raise ValueError("It must be a table with low and high, or with choices.")
    kind = Choices if "choices" in entry else Range
    return kind.model_validate(entry, context=info.context)


class _Tables(BaseModel):
    """The tables of a space file, each entry checked separately."""

    model_config = STRICT

    base: SomeFields = {}
    sweep: Annotated[dict[str, Sweep], BeforeValidator(_with_names)] = {}
    search: Annotated[
        dict[str, Annotated[Any, PlainValidator(_read_parameter)]], BeforeValidator(_with_names)
    ] = {}
    start: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = ()


def space_names() -> list[str]:
    """Return the names of the built-in spaces."""
    return sorted(path.stem for path in _shipped().glob("*.toml"))


def load_space(name_or_path: str) -> Space:
    """Read a built-in space by name, or any space file by path.

    Raises:
        SpaceError: it cannot be found or read, or has faults; all in one message.
    """
    path, raw = parse_space(name_or_path)
    return read_space(raw, name=path.stem, source=str(path))


def parse_space(name_or_path: str) -> tuple[Path, dict[str, Any]]:
    """Return the path of a space file and its tables, unchecked.

    Raises:
        SpaceError: it cannot be found, or is not TOML.
    """
    path = _find(name_or_path)
    return path, read_toml(path, "space file", SpaceError)


def read_space(
    raw: Mapping[str, object], *, name: str, source: str, model: CustomModel | None = None
) -> Space:
    """Check the tables of a space file, possibly for a custom model, and build the space.

    Names are returned in one canonical order, independent of their order in the file.

    Raises:
        SpaceError: all faults at once, or all inconsistencies; `source` names the place.
    """
    start = TrainingConfig(model=model)
    if "epochs" in (model.idle_fields if model else ()):
        start = start.replace(epochs=1)
    problems = [
        f"{table}: {unknown_name(key, start.signature)}"
        for table in ("sweep", "search")
        if isinstance(entries := raw.get(table), Mapping)
        for key in entries
        if key not in names_of(start.signature)
    ]
    try:
        tables = _Tables.model_validate(raw, context=start.signature)
        base = apply(start, tables.base)
        problems += _misfits(tables, base)
        if not problems:
            search = order_by_conditions(tables.search.values(), start.signature)
            space = Space(name=name, base=base, sweeps=tables.sweep, search=search)
            points: list[Mapping[str, Scalar]] = []
            for number, point in enumerate(tables.start, start=1):
                try:
                    points.append(read_point(space, point).params)
                except ConfigError as error:
                    problems += faults(error, f"start, point {number}")
            if not problems:
                return replace(space, start=tuple(points))
    except ConfigError as error:
        problems += faults(error, "base")
    except ValueError as error:
        problems += faults(error, unknown=_unknown_key)
    except RecursionError:
        raise SpaceError(f"{source} is nested too deeply for a space file.") from None
    raise SpaceError(fault_list(f"{source} is not valid:", problems))


def to_document(space: Space) -> Document:
    """Return the space as plain data: the tables of a space file, with all fields.

    A custom model is a separate table, without its parameters, which are fields of the base.
    """
    base = space.base.model_dump(mode="json")
    for later in ("class_weight", "align"):  # Names of older studies must not change.
        if base[later] == "none":
            del base[later]
    if model := base.pop("model", None):
        base |= model.pop("params")
    return (
        ({"model": model} if model else {})
        | {
            "name": space.name,
            "base": base,
            "sweep": {name: _sweep_document(sweep) for name, sweep in space.sweeps.items()},
            "search": {p.name: _search_document(p) for p in space.search},
        }
        | ({"start": list(map(dict, space.start))} if space.start else {})
    )


def from_document(document: object) -> Space:
    """Read a space back from plain data.

    Raises:
        SpaceError: the document is invalid; all faults at once.
    """
    if not isinstance(document, Mapping):
        raise SpaceError(f"The recorded space must be a table, but is {describe(document)}.")
    tables = {key: value for key, value in document.items() if key not in ("name", "model")}
    name = str(document.get("name", "recorded"))
    source, model = f"The recorded space {name}", None
    if recorded := document.get("model"):
        try:
            model = CustomModel.model_validate(recorded)
        except ValueError as error:
            raise SpaceError(fault_list(f"{source} is not valid:", faults(error))) from None
    return read_space(tables, name=name, source=source, model=model)


def space_differences(recorded: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    """Describe how the document of a space differs from the recorded one.

    Names of spaces are ignored: a copy under another name is the same space.
    """
    old, new = dict(_leaves(recorded)), dict(_leaves(requested))
    return [
        f"{place} was {_text(old.get(place))}, now {_text(new.get(place))}"
        for place in dict.fromkeys([*old, *new])
        if old.get(place) != new.get(place) and place != "name"
    ]


def order_by_conditions(
    parameters: Iterable[Parameter], signature: Signature | None
) -> tuple[Parameter, ...]:
    """Return parameters in a unique order, each after those in its `when`.

    Raises:
        ValueError: conditions are circular.
    """
    names = names_of(signature)
    remaining = {p.name: p for p in sorted(parameters, key=lambda p: names.index(p.name))}
    ordered: list[Parameter] = []
    while remaining:
        ready = [p for p in remaining.values() if not p.when.keys() & remaining.keys()]
        if not ready:
            raise ValueError(f"search: The conditions of {', '.join(remaining)} are circular.")
        ordered += ready
        remaining = {name: p for name, p in remaining.items() if p not in ready}
    return tuple(ordered)


def _unknown_key(key: str) -> str:
    keys = [*_TABLES, *Sweep.model_fields, *Range.model_fields, *Choices.model_fields]
    hint = did_you_mean(key, [name for name in keys if name != key])
    if key in names_of(None):
        hint = "Hyperparameters belong under [base], [sweep] or [search]."
    return f"Unknown key {key[:60]!r}. {hint}".strip()


def _misfits(tables: _Tables, base: TrainingConfig) -> Iterator[str]:
    """Yield inconsistencies between tables that are valid separately."""
    for name, sweep in tables.sweep.items():
        for value, label in zip(sweep.values, sweep.labels, strict=True):
            try:
                apply(apply(base, sweep.set), value)
            except ConfigError as error:
                yield from faults(error, f"sweep.{name}, value {value_text(label)}")
    search = tables.search
    yield from (f"search: {fault}" for fault in both_forms(search))
    if not base.model and "layers" in search and "width" not in search and not uniform_width(base):
        yield (
            f"search.layers: It needs a single width, but base.hidden = {describe(base.hidden)}. "
            "Search width too."
        )
    for name, parameter in search.items():
        for other, labels in parameter.when.items():
            place = f"search.{name}.when: {other}"
            if other not in search:
                yield f"{place} is not searched. Add it to [search]."
                continue
            for label in labels:
                if search[other].find(label) is None:
                    yield f"{place} = {value_text(label)} is not among the searched values."


def _sweep_document(sweep: Sweep) -> Document:
    document = sweep.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
    values = [value[sweep.name] if len(value) == 1 else value for value in document["values"]]
    return document | {"values": values}


def _search_document(parameter: Parameter) -> Document:
    document = parameter.model_dump(mode="json", exclude={"name"})
    return {key: value for key, value in document.items() if value != _UNWRITTEN.get(key)}


def _leaves(table: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values of nested tables with their positions: `search.gamma.low`."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", value


def _text(value: object) -> str:
    return "absent" if value is None else describe(value)


def _shipped() -> Path:
    """Return the folder of the built-in files: in the package, or next to it in a checkout."""
    installed = _PACKAGE / "search_spaces"
    return installed if installed.is_dir() else _PACKAGE.parent / "search_spaces"


def _find(name_or_path: str) -> Path:
    names = space_names()
    if name_or_path in names:
        return _shipped() / f"{name_or_path}.toml"
    path, shown = at_home(name_or_path), name_or_path[:200]
    choose = f"Use a TOML file, or one of {', '.join(names)}."
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        hint = did_you_mean(shown, names) or choose
        raise SpaceError(f"There is no space {shown!r}. {hint}") from None
    if not is_file:
        raise SpaceError(f"The space {shown!r} is not a file. {choose}")
    return path
