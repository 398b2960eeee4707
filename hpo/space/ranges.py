"""The open ranges of a search: domains, conditions and the order they ask for."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Final

from hpo.config import FieldSpec, Scalar, TrainingConfig, Value, describe, did_you_mean
from hpo.errors import ConfigError
from hpo.space.fields import (
    NAMES,
    apply,
    both_forms,
    fit_dropout,
    position,
    reasons,
    uniform_width,
    unknown_name,
)
from hpo.space.records import (
    Choices,
    Domain,
    FloatRange,
    IntRange,
    Parameter,
    label_of,
    value_text,
)

_RANGE_KEYS: Final = ("low", "high", "log", "step")
_ENDS: Final = ("low", "high")
_WHEN_EXAMPLE: Final = 'when = { scheduler = "step" }'
_KEYS: Final = (*_RANGE_KEYS, "choices", "when")


def read_search(
    raw: Mapping[str, object], base: TrainingConfig | None, faults: list[str]
) -> tuple[Parameter, ...]:
    """Read the table `search`; parameters come after those that their conditions name."""
    faults += [f"search: {unknown_name(name)}" for name in raw if name not in NAMES]
    names = sorted(raw.keys() & NAMES.keys(), key=position)
    if fault := both_forms(names):
        faults.append(f"search: {fault}")
    if base and "layers" in names and "width" not in names and uniform_width(base) is None:
        hidden = describe(base.hidden)
        faults.append(f"search.layers needs one width, but base.hidden = {hidden}: search width")
    tables = {name: _read_table(name, raw[name], faults) for name in names}
    domains = {name: _read_domain(name, table, faults) for name, table in tables.items()}
    parameters = {}
    for name, domain in domains.items():
        when = _read_when(name, tables[name].get("when", {}), domains, faults)
        if domain is not None:
            parameters[name] = Parameter(name, domain, when)
        if base is not None and isinstance(domain, Choices):
            faults += _choices_that_fail(name, domain, base)
    try:
        return order_by_conditions(parameters.values())
    except CycleError as error:
        chain = " -> ".join(reversed(error.args[1]))
        faults.append(f"search: conditions run in a circle ({chain}): take one of them out")
        return ()


def _read_table(name: str, raw: object, faults: list[str]) -> Mapping[str, object]:
    if not isinstance(raw, Mapping):
        faults.append(
            f"search.{name} takes a table with low and high, or with choices, "
            f"but got {describe(raw)}"
        )
        return {}
    for key in raw:
        if key not in _KEYS:
            faults.append(f"search.{name}: {key} is no key of it{did_you_mean(key, _KEYS)}")
    if not raw.keys() & {"low", "high", "choices"}:
        faults.append(f"search.{name} says nothing to search: give low and high, or choices")
    return raw


def _read_domain(name: str, table: Mapping[str, object], faults: list[str]) -> Domain | None:
    """Return the domain, None where it has faults."""
    place, spec, n_faults = f"search.{name}", NAMES[name], len(faults)
    extra = [key for key in _RANGE_KEYS if key in table]
    if "choices" in table:
        if extra:
            faults.append(f"{place}: choices and {', '.join(extra)} exclude each other")
        values = _read_choices(place, table["choices"], spec, faults)
        return Choices(values) if len(faults) == n_faults else None
    if not extra:
        return None
    if spec.kind not in (int, float) or spec.many == "yes":
        faults.append(f"{place} takes {spec.allowed}: write choices = [...], not a range")
        return None
    bounds = [_read_bound(f"{place}.{end}", table.get(end), spec, faults) for end in _ENDS]
    is_log = _read_log(place, table.get("log", False), faults)
    step = _read_step(place, table.get("step", 1), spec, faults)
    low, high = bounds
    if low is None or high is None or len(faults) > n_faults:
        return None
    faults += _range_faults(place, (low, high), is_log, step)
    return _range(spec, (low, high), is_log, step)


def _range(spec: FieldSpec, ends: tuple[float, float], is_log: bool, step: int) -> Domain:
    if spec.kind is int:
        return IntRange(int(ends[0]), int(ends[1]), is_log, step)
    return FloatRange(*ends, is_log)


def _range_faults(place: str, ends: tuple[float, float], is_log: bool, step: int) -> list[str]:
    low, high = ends
    faults = []
    if low > high:
        faults.append(
            f"{place}: low <= high must hold, but got low = {describe(low)}, "
            f"high = {describe(high)}"
        )
    if is_log and low <= 0:
        faults.append(f"{place}: log = true takes low above 0, but got low = {describe(low)}")
    if is_log and step != 1:
        faults.append(f"{place}: log = true and step = {step} exclude each other")
    if step != 1 and low <= high and (high - low) % step:
        reached = int(high - (high - low) % step)
        faults.append(
            f"{place}: high = {describe(high)} is not reached from low = {describe(low)} in "
            f"steps of {step}: write high = {reached} or {reached + step}"
        )
    return faults


def _read_bound(place: str, raw: object, spec: FieldSpec, faults: list[str]) -> int | float | None:
    if raw is None:
        faults.append(f"{place} is missing")
        return None
    if isinstance(raw, list | tuple):
        faults.append(f"{place} takes one number, but got {describe(raw)}")
        return None
    try:
        value = spec.read(raw)
    except ValueError as problem:
        faults.append(f"{place} {problem}")
        return None
    assert isinstance(value, int | float)
    return value


def _read_log(place: str, raw: object, faults: list[str]) -> bool:
    if not isinstance(raw, bool):
        faults.append(f"{place}.log takes true or false, but got {describe(raw)}")
        return False
    return raw


def _read_step(place: str, raw: object, spec: FieldSpec, faults: list[str]) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or raw < 1:
        faults.append(f"{place}.step takes a whole number from 1, but got {describe(raw)}")
        return 1
    if raw != 1 and spec.kind is float:
        faults.append(f"{place}.step is for whole numbers only: take it out, or use choices")
        return 1
    return raw


def _read_choices(
    place: str, raw: object, spec: FieldSpec, faults: list[str]
) -> tuple[Value, ...]:
    if not isinstance(raw, list | tuple) or not raw:
        faults.append(f"{place}.choices takes a list of values, but got {describe(raw)}")
        return ()
    values: list[Value] = []
    seen: set[Value] = set()
    for item in raw:
        try:
            value = spec.read(item)
        except ValueError as problem:
            faults.append(f"{place}.choices {problem}")
            continue
        if value in seen:
            faults.append(f"{place}.choices holds {value_text(value)} twice")
        values.append(value)
        seen.add(value)
    return tuple(values)


def _read_when(
    name: str, raw: object, domains: Mapping[str, Domain | None], faults: list[str]
) -> tuple[tuple[str, tuple[Scalar, ...]], ...]:
    place = f"search.{name}.when"
    if not isinstance(raw, Mapping):
        faults.append(f"{place} takes a table, as in {_WHEN_EXAMPLE}, but got {describe(raw)}")
        return ()
    when = []
    for other, values in raw.items():
        if other not in domains:
            faults.append(f"{place}: {_not_searched(other, domains)}")
            continue
        labels = _condition_labels(
            f"{place}.{other}", values, (NAMES[other], domains[other]), faults
        )
        when.append((other, labels))
    return tuple(sorted(when, key=lambda condition: position(condition[0])))


def _not_searched(name: str, domains: Mapping[str, Domain | None]) -> str:
    if name not in NAMES:
        return f"{name} is no searched parameter{did_you_mean(name, domains)}"
    return f"{name} is not searched: add it to [search], or take the condition out"


def _condition_labels(
    place: str, raw: object, taker: tuple[FieldSpec, Domain | None], faults: list[str]
) -> tuple[Scalar, ...]:
    """Return the labels that a condition asks for, in an order no file changes."""
    spec, domain = taker
    items = raw if isinstance(raw, list | tuple) else [raw]
    if not items:
        faults.append(f"{place} is empty: no value meets it")
    labels = []
    for item in items:
        try:
            label = label_of(_condition_value(spec, item))
        except ValueError as problem:
            faults.append(f"{place} {problem}")
            continue
        if domain is not None and not domain.contains(label):
            faults.append(f"{place} takes {domain.allowed}, but got {describe(item)}")
        labels.append(label)
    return tuple(sorted(set(labels), key=lambda label: (str(type(label)), label)))


def _condition_value(spec: FieldSpec, raw: object) -> Value:
    """Read a value; a list may be written as its label, `64-64`: a list here means any of."""
    return spec.parse(raw) if isinstance(raw, str) and spec.many != "no" else spec.read(raw)


def order_by_conditions(parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """Return parameters in the one order in which each comes after those that its `when` names.

    Raises:
        graphlib.CycleError: conditions run in a circle.
    """
    by_name = {parameter.name: parameter for parameter in parameters}
    sorter = TopologicalSorter({name: [o for o, _ in p.when] for name, p in by_name.items()})
    sorter.prepare()
    ordered: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=position)
        ordered += ready
        sorter.done(*ready)
    return tuple(by_name[name] for name in ordered if name in by_name)


def _choices_that_fail(name: str, domain: Choices, base: TrainingConfig) -> list[str]:
    """Return a fault for each choice that makes no sense together with the base."""
    faults = []
    for value in domain.values:
        fitted = fit_dropout(value, len(base.hidden)) if name == "dropout" else value
        try:
            apply(base, {name: fitted})
        except ConfigError as error:
            faults += [f"search.{name}.choices: {reason}" for reason in reasons(error)]
    return faults
