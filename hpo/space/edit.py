"""Changes of a space from the command line: `--set`, `--epochs`, `--values`, `--param`."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Final

from pydantic import ValidationError

from hpo.config import TrainingConfig, Value, faults
from hpo.errors import ConfigError, UsageError, fault_list
from hpo.space.files import order_by_conditions
from hpo.space.records import (
    Parameter,
    Space,
    Sweep,
    apply,
    current_label,
    overlapping,
    parse_value,
    read_fields,
    unknown_name,
    value_text,
)

# A comma between values: one that stands in no brackets.
_COMMA: Final = re.compile(r",(?![^\[\]]*\])")


def override(space: Space, values: Mapping[str, Value], *, epochs: int | None = None) -> Space:
    """Pin fields (`--set NAME=VALUE`, `--epochs N`): base has them, and no search varies them.

    Values may be texts of the command line. Conditions on a pinned parameter are settled:
    searched parameters that can no longer have an effect leave the search. A sweep's `set` gives
    way to what is pinned.

    Raises:
        UsageError: unknown names, values that cannot be used; all faults at once.
    """
    raw = {n: parse_value(v) if isinstance(v, str) else v for n, v in values.items()}
    found: list[str] = []
    if epochs is not None and raw.setdefault("epochs", epochs) != epochs:
        found.append(f"--set epochs={values['epochs']} and --epochs {epochs} differ. Keep one.")
    try:
        changes = read_fields(raw, space.signature)
        base = apply(space.base, changes)
    except (ValueError, ConfigError) as error:
        found += faults(error)
    if found:
        several = [n for n in raw if any(f"{n} must be a " in f and "but is [" in f for f in found)]
        found += [f"Several values make a sweep: hpo grid {n}={values[n]}" for n in several]
        raise UsageError(fault_list("--set or --epochs is invalid:", found))
    sweeps = {}
    for name, sweep in space.sweeps.items():
        overruled = overlapping(sweep.set, changes)
        left = {n: value for n, value in sweep.set.items() if n not in overruled}
        sweeps[name] = sweep.model_copy(update={"set": left})
    taken = set(overlapping((parameter.name for parameter in space.search), changes))
    search = settle(space, taken, base)
    pinned = tuple(dict.fromkeys([*space.pinned, *changes]))
    return replace(space, base=base, sweeps=sweeps, search=search, pinned=pinned)


def with_values(space: Space, texts: Mapping[str, str]) -> Space:
    """Replace the values of sweeps (`--values NAME=V,V,V`), or begin a sweep with them.

    A list is one value: `hidden=64-64,128` or `dropout=0.5,[0.9,0.9,0.8]`. What the space
    prescribes beside the values (`set`) stays.

    Raises:
        UsageError: unknown names, values that cannot be used; all faults at once.
    """
    sweeps, found = dict(space.sweeps), []
    for name, text in texts.items():
        if name not in space.names:
            found.append(unknown_name(name, space.signature))
            continue
        values = [parse_value(part) for part in _COMMA.split(text)]
        changes = sweeps[name].set if name in sweeps else {}
        try:
            sweep = {"name": name, "values": values, "set": changes}
            sweeps[name] = Sweep.model_validate(sweep, context=space.signature)
        except ValidationError as error:
            found += faults(error, name)
    if found:
        raise UsageError(fault_list("--values is invalid:", found))
    return replace(space, sweeps={name: sweeps[name] for name in space.names if name in sweeps})


def restrict(space: Space, names: Sequence[str]) -> Space:
    """Search the named parameters only (`--param` in a search); the rest stays at the base.

    `hidden` stands for `layers` and `width` where those are searched.

    Raises:
        UsageError: a name is not searched, or has no effect while the rest stays at the base.
    """
    searched = {parameter.name: parameter for parameter in space.search}
    found: list[str] = []
    kept: set[str] = set()
    for name in names:
        own = [name] if name in searched else overlapping(searched, {name} & {"hidden"})
        kept.update(own)
        if name not in space.names:
            found.append(unknown_name(name, space.signature))
        elif not own and overlapping(space.pinned, [name]):
            found.append(f"--param {name} is fixed by --set or --epochs. Drop one of the two.")
        elif not own:
            found.append(f"--param {name} is not searched in the space {space.name}.")
    search = settle(space, searched.keys() - kept, space.base)
    lost = kept - {parameter.name for parameter in search}
    for name in (name for name in searched if name in lost):
        when = {n: " or ".join(map(value_text, v)) for n, v in searched[name].when.items()}
        conditions = " and ".join(f"{other} = {values}" for other, values in when.items())
        other, values = next(iter(searched[name].when.items()))
        found.append(
            f"--param {name} is searched only where {conditions}, and the base differs. "
            f"Add --param {other}, or --set {other}={value_text(values[0])}."
        )
    if found:
        raise UsageError(fault_list("--param is invalid:", found))
    return replace(space, search=search)


def settle(space: Space, taken: Set[str], base: TrainingConfig) -> tuple[Parameter, ...]:
    """Take parameters out of a search; they have the base's values from now on.

    A condition on one of them holds or does not, once for all: a parameter with one that does not
    hold leaves the search too, and so do those with a condition on that one.
    """
    left: list[Parameter] = []
    gone: set[str] = set()
    for parameter in space.search:
        name, when = parameter.name, parameter.when
        never = any(n in taken and current_label(base, n) not in when[n] for n in when)
        if never or gone & when.keys():
            gone.add(name)
        elif name not in taken:
            open_ones = {n: labels for n, labels in when.items() if n not in taken}
            left.append(parameter.model_copy(update={"when": open_ones}))
    return order_by_conditions(left, base.signature)
