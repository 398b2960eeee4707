"""Changes of a space from the command line: `--set`, `--epochs`, `--values`, `--param`."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Final, TypeAlias

from hpo.config import Scalar, TrainingConfig, Value
from hpo.errors import ConfigError, UsageError, fault_list
from hpo.space.fields import (
    NAMES,
    apply,
    both_forms,
    current_label,
    overlapping,
    position,
    reasons,
    sweep_value,
    unknown_name,
)
from hpo.space.ranges import order_by_conditions
from hpo.space.records import Parameter, Space, Sweep, SweepValue, value_text

# A comma between values: one that stands in no brackets.
_COMMA: Final = re.compile(r",(?![^\[\]]*\])")
_Conditions: TypeAlias = dict[str, tuple[Scalar, ...]]


def override(space: Space, texts: Mapping[str, str], *, epochs: int | None = None) -> Space:
    """Pin fields (`--set NAME=VALUE`, `--epochs N`): base has them, and no search varies them.

    Conditions on a pinned parameter are settled: searched parameters that can no longer have an
    effect leave the search. A sweep's `set` gives way to what is pinned.

    Raises:
        UsageError: unknown names, values that cannot be used; all faults at once.
    """
    changes, faults = _read_texts(texts)
    if epochs is not None:
        faults += _read_epochs(epochs, changes)
    if fault := both_forms(texts):
        faults.append(fault)
    base = space.base if faults else _try(space.base, changes, faults)
    if faults:
        raise UsageError(fault_list("--set or --epochs cannot be used:", faults))
    sweeps = {name: _without(sweep, changes) for name, sweep in space.sweeps.items()}
    taken = set(overlapping((parameter.name for parameter in space.search), changes))
    search = _settle(space.search, taken, base)
    pinned = tuple(dict.fromkeys([*space.pinned, *changes]))
    return Space(space.name, base, sweeps, search, pinned)


def with_values(space: Space, texts: Mapping[str, str]) -> Space:
    """Replace the values of sweeps (`--values NAME=V,V,V`), or begin a sweep with them.

    A list is one value: `hidden=64-64,128` or `dropout=0.5,[0.9,0.9,0.8]`. What the space
    prescribes beside the values (`set`) stays.

    Raises:
        UsageError: unknown names, values that cannot be used; all faults at once.
    """
    sweeps, faults = dict(space.sweeps), []
    for name, text in texts.items():
        if name not in NAMES:
            faults.append(unknown_name(name))
            continue
        values = _read_values(name, text, faults)
        changes = sweeps[name].set if name in sweeps else ()
        sweeps[name] = Sweep(name, values, changes)
    if faults:
        raise UsageError(fault_list("--values cannot be used:", faults))
    ordered = {name: sweeps[name] for name in NAMES if name in sweeps}
    return replace(space, sweeps=ordered)


def restrict(space: Space, names: Sequence[str]) -> Space:
    """Search the named parameters only (`--param` in a search); the rest stays at the base.

    `hidden` stands for `layers` and `width` where those are searched.

    Raises:
        UsageError: a name is not searched, or has no effect while the rest stays at the base.
    """
    faults: list[str] = []
    kept: list[str] = []
    for name in names:
        found = _searched_as(space, name)
        kept += found
        if not found:
            faults.append(_not_searched(space, name))
    others = {parameter.name for parameter in space.search} - set(kept)
    search = _settle(space.search, others, space.base)
    lost = set(kept) - {parameter.name for parameter in search}
    faults += [_without_effect(p) for p in space.search if p.name in lost]
    if faults:
        raise UsageError(fault_list("The search cannot be restricted like this:", faults))
    return replace(space, search=search)


def _read_texts(texts: Mapping[str, str]) -> tuple[dict[str, Value], list[str]]:
    changes: dict[str, Value] = {}
    faults = []
    for name, text in texts.items():
        if name not in NAMES:
            faults.append(unknown_name(name))
            continue
        try:
            changes[name] = NAMES[name].parse(text)
        except ValueError as problem:
            faults.append(f"{name} {problem}")
    return changes, faults


def _read_epochs(epochs: int, changes: dict[str, Value]) -> list[str]:
    """Add --epochs to the changes, and return what speaks against it."""
    set_epochs = changes.get("epochs", epochs)
    if set_epochs != epochs:
        return [f"--set epochs={set_epochs} and --epochs {epochs} differ: keep one of them"]
    try:
        changes["epochs"] = NAMES["epochs"].read(epochs)
    except ValueError as problem:
        return [f"--epochs {problem}"]
    return []


def _try(base: TrainingConfig, changes: Mapping[str, Value], faults: list[str]) -> TrainingConfig:
    try:
        return apply(base, changes)
    except ConfigError as error:
        faults += reasons(error)
        return base


def _without(sweep: Sweep, pinned: Iterable[str]) -> Sweep:
    overruled = overlapping((name for name, _ in sweep.set), pinned)
    return replace(sweep, set=tuple(item for item in sweep.set if item[0] not in overruled))


def _read_values(name: str, text: str, faults: list[str]) -> tuple[SweepValue, ...]:
    values: list[SweepValue] = []
    labels: set[Scalar] = set()
    for part in _COMMA.split(text):
        try:
            value = sweep_value(name, {name: NAMES[name].parse(part)})
        except ValueError as problem:
            faults.append(f"{name} {problem}")
            continue
        if value.label in labels:
            faults.append(f"{name} holds {value_text(value.label)} twice")
        values.append(value)
        labels.add(value.label)
    return tuple(values)


def _settle(
    search: Iterable[Parameter], taken: Set[str], base: TrainingConfig
) -> tuple[Parameter, ...]:
    """Take parameters out of a search; they have the base's values from now on.

    A condition on one of them holds or does not, once for all. Where it holds, the conditions
    of the parameter that was taken out are inherited; a parameter with a condition that does not
    hold leaves the search too.
    """
    left: list[Parameter] = []
    inherited: dict[str, _Conditions | None] = {}
    for parameter in search:
        when = _settled_conditions(parameter, inherited, base)
        if parameter.name in taken or when is None:
            inherited[parameter.name] = when
        else:
            conditions = tuple(sorted(when.items(), key=lambda item: position(item[0])))
            left.append(replace(parameter, when=conditions))
    return order_by_conditions(left)


def _settled_conditions(
    parameter: Parameter, inherited: Mapping[str, _Conditions | None], base: TrainingConfig
) -> _Conditions | None:
    """Return the conditions that are left, None if they can never hold."""
    left: _Conditions = {}
    for name, labels in parameter.when:
        if name not in inherited:
            _intersect(left, {name: labels})
            continue
        conditions = inherited[name]
        if conditions is None or current_label(base, name) not in labels:
            return None
        _intersect(left, conditions)
    return left if all(left.values()) else None


def _intersect(conditions: _Conditions, more: Mapping[str, tuple[Scalar, ...]]) -> None:
    for name, labels in more.items():
        before = conditions.get(name, labels)
        conditions[name] = tuple(label for label in before if label in labels)


def _searched_as(space: Space, name: str) -> list[str]:
    """Return the searched parameters that a name on the command line stands for."""
    searched = [parameter.name for parameter in space.search]
    return [name] if name in searched else overlapping(searched, [name] * (name == "hidden"))


def _not_searched(space: Space, name: str) -> str:
    searched = [parameter.name for parameter in space.search]
    if name not in NAMES:
        return unknown_name(name)
    if overlapping(space.pinned, [name]):
        return f"--param {name} is fixed by --set or --epochs: drop one of the two"
    there_are = ", ".join(searched) or "nothing"
    return f"--param {name} is not searched in the space {space.name}, which searches {there_are}"


def _without_effect(parameter: Parameter) -> str:
    conditions = " and ".join(
        f"{name} = {' or '.join(value_text(label) for label in labels)}"
        for name, labels in parameter.when
    )
    name, labels = parameter.when[0]
    return (
        f"--param {parameter.name} is searched only where {conditions}, and the base differs: "
        f"add --param {name}, or --set {name}={value_text(labels[0])}"
    )
