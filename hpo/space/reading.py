"""A space file's tables -> Space. All faults are found before one message tells them."""

from collections.abc import Mapping
from typing import Final

from hpo.config import Scalar, TrainingConfig, Value, describe, did_you_mean
from hpo.errors import ConfigError, SpaceError, fault_list
from hpo.space.fields import (
    NAMES,
    apply,
    both_forms,
    overlapping,
    position,
    reasons,
    sweep_value,
    unknown_name,
)
from hpo.space.ranges import read_search
from hpo.space.records import Space, Sweep, SweepValue, value_text

_TABLES: Final = ("base", "sweep", "search")
_SWEEP_KEYS: Final = ("values", "set")
_LONGEST_FAULT: Final = 400
_MOST_FAULTS: Final = 100


def read_space(raw: Mapping[str, object], *, name: str, source: str) -> Space:
    """Check the tables of a space file and build the space.

    Names come in one canonical order, whatever their order in the file.

    Raises:
        SpaceError: every fault at once; `source` says where they are.
    """
    faults: list[str] = []
    tables = _tables(raw, faults)
    base = _read_base(tables["base"], faults)
    sweeps = _read_sweeps(tables["sweep"], base, faults)
    search = read_search(tables["search"], base, faults)
    if faults or base is None:
        raise SpaceError(fault_list(f"{source} cannot be used as a space:", _shorten(faults)))
    return Space(name=name, base=base, sweeps=sweeps, search=search)


def _shorten(faults: list[str]) -> list[str]:
    """Keep a message readable where the file is no space file at all."""
    shown = [
        fault if len(fault) <= _LONGEST_FAULT else fault[:_LONGEST_FAULT] + " …"
        for fault in faults[:_MOST_FAULTS]
    ]
    rest = len(faults) - len(shown)
    return [*shown, f"and {rest} more"] if rest else shown


def _tables(raw: Mapping[str, object], faults: list[str]) -> dict[str, Mapping[str, object]]:
    tables: dict[str, Mapping[str, object]] = {table: {} for table in _TABLES}
    for key, value in raw.items():
        if key not in _TABLES:
            what = f"[{key}]" if isinstance(value, Mapping) else f"{key} = {describe(value)}"
            hint = _home_of(key) or did_you_mean(key, _TABLES)
            faults.append(f"{what} is no table of a space file{hint}")
        elif not isinstance(value, Mapping):
            faults.append(f"{key} takes a table, written [{key}], but got {describe(value)}")
        else:
            tables[key] = value
    return tables


def _home_of(key: str) -> str:
    return f": put {key} under [base], [sweep] or [search]" if key in NAMES else ""


def _read_fields(place: str, raw: object, faults: list[str]) -> dict[str, Value]:
    """Return the fields of a table that are right, and add a fault for each that is not."""
    if not isinstance(raw, Mapping):
        faults.append(f"{place} takes a table of hyperparameters, but got {describe(raw)}")
        return {}
    fields: dict[str, Value] = {}
    for name, value in raw.items():
        if name not in NAMES:
            faults.append(f"{place}: {unknown_name(name)}")
            continue
        try:
            fields[name] = NAMES[name].read(value)
        except ValueError as problem:
            faults.append(f"{place}: {name} {problem}")
    if fault := both_forms(raw):
        faults.append(f"{place}: {fault}")
    return fields


def _read_base(raw: Mapping[str, object], faults: list[str]) -> TrainingConfig | None:
    """Return the base, None where it has faults of its own."""
    n_faults = len(faults)
    fields = _read_fields("base", raw, faults)
    if len(faults) > n_faults:
        return None
    try:
        return apply(TrainingConfig(), fields)
    except ConfigError as error:
        faults += [f"base: {reason}" for reason in reasons(error)]
        return None


def _read_sweeps(
    raw: Mapping[str, object], base: TrainingConfig | None, faults: list[str]
) -> dict[str, Sweep]:
    faults += [f"sweep: {unknown_name(name)}" for name in raw if name not in NAMES]
    sweeps = {}
    for name in sorted(raw.keys() & NAMES.keys(), key=position):
        n_faults = len(faults)
        sweep = sweeps[name] = _read_sweep(name, raw[name], faults)
        if base is not None and len(faults) == n_faults:
            faults += _cells_that_fail(sweep, base)
    return sweeps


def _read_sweep(name: str, raw: object, faults: list[str]) -> Sweep:
    """Read the short form, a list of values, or the long form, a table with `values`, `set`."""
    place = f"sweep.{name}"
    form = raw if isinstance(raw, Mapping) else {"values": raw}
    for key in form:
        if key not in _SWEEP_KEYS:
            faults.append(f"{place}: {key} is no key of a sweep{did_you_mean(key, _SWEEP_KEYS)}")
    changes = _read_fields(f"{place}.set", form.get("set", {}), faults)
    if own := overlapping(changes, [name]):
        faults.append(f"{place}.set: {', '.join(own)} is what this sweep varies: take it out")
    return Sweep(name, _read_values(name, form.get("values"), faults), _in_order(changes))


def _read_values(name: str, raw: object, faults: list[str]) -> tuple[SweepValue, ...]:
    place = f"sweep.{name}"
    if not isinstance(raw, list | tuple):
        got = "nothing" if raw is None else describe(raw)
        faults.append(f"{place} takes a list of values, or a table with values, but got {got}")
        return ()
    if not raw:
        faults.append(f"{place} is empty: list the values to compare, or take the sweep out")
    values: list[SweepValue] = []
    labels: set[Scalar] = set()
    for number, item in enumerate(raw, start=1):
        value = _read_value(name, item, f"{place}, value {number}", faults)
        if value is None:
            continue
        if value.label in labels:
            faults.append(f"{place} holds {value_text(value.label)} twice{_list_hint(name)}")
        else:
            values.append(value)
            labels.add(value.label)
    return tuple(values)


def _list_hint(name: str) -> str:
    return "; one value is itself a list: [[64, 64], [128]]" if name == "hidden" else ""


def _read_value(name: str, raw: object, place: str, faults: list[str]) -> SweepValue | None:
    """Return a value, plain or a table that sets several fields; None where it has faults."""
    if not isinstance(raw, Mapping):
        try:
            return sweep_value(name, {name: NAMES[name].read(raw)})
        except ValueError as problem:
            faults.append(f"{place}: {problem}")
            return None
    n_faults = len(faults)
    fields = _read_fields(place, raw, faults)
    if name not in raw:
        faults.append(f"{place}: must set {name} itself")
    return sweep_value(name, fields) if len(faults) == n_faults else None


def _in_order(fields: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    """Return fields in the canonical order of names."""
    return tuple((name, fields[name]) for name in sorted(fields, key=position))


def _cells_that_fail(sweep: Sweep, base: TrainingConfig) -> list[str]:
    """Return a fault for each value that makes no sense together with the base."""
    faults = []
    for value in sweep.values:
        try:
            apply(apply(base, dict(sweep.set)), dict(value.fields))
        except ConfigError as error:
            place = f"sweep.{sweep.name}, value {value_text(value.label)}"
            faults += [f"{place}: {reason}" for reason in reasons(error)]
    return faults
