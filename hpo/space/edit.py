"""Reading a space, possibly with a custom model, and changing it by options.

The options are `--space` and `--model`; `--set`, `--epochs`, `--values` and `--param`.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from hpo import models
from hpo.config import MLP_FIELDS, CustomModel, Signature, TrainingConfig, Value, faults
from hpo.errors import ConfigError, SpaceError, UsageError, fault_list
from hpo.space.cells import complete
from hpo.space.files import order_by_conditions, parse_space, read_space
from hpo.space.records import (
    Cell,
    Choices,
    Parameter,
    Range,
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

# A comma between values, outside brackets.
_COMMA: Final = re.compile(r",(?![^\[\]]*\])")


def open_space(found: str | Mapping[str, Any], model: str | None = None) -> Space:
    """Read a space by name or path, or its tables, with a custom model given or named there.

    A file without `[model]` is for the built-in network: its entries for that network are replaced
    by the values and ranges that the custom model declares.

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
    custom, code = models.open_custom(model, folder=folder)
    is_custom = not is_file or table is not None
    is_custom = is_custom or any("model" in t for t in raw.values() if isinstance(t, dict))
    space = read_space(
        _flat(raw) if is_custom else raw,
        name=name,
        source=source,
        model=custom if is_custom else None,
    )
    if not is_custom:
        space = _with_model(space, custom)
    sweeps = {name: sweep for name, sweep in _declared_sweeps(custom) if name not in space.sweeps}
    sweeps |= space.sweeps
    ordered = {name: sweeps[name] for name in space.names if name in sweeps}
    return replace(space, sweeps=ordered, code=code)


def override(space: Space, values: Mapping[str, Value], *, epochs: int | None = None) -> Space:
    """Fix fields (`--set NAME=VALUE`, `--epochs N`) in the base and remove them from the search.

    Values may be texts from the command line. Conditions on a fixed parameter are resolved:
    searched parameters that can no longer have an effect are removed from the search. Fixed fields
    override a sweep's `set`.

    Raises:
        UsageError: unknown names, values that cannot be used; all faults at once.
    """
    raw = {n: parse_value(v) if isinstance(v, str) else v for n, v in values.items()}
    problems: list[str] = []
    if epochs is not None and raw.setdefault("epochs", epochs) != epochs:
        problems.append(f"--set epochs={values['epochs']} and --epochs {epochs} differ. Keep one.")
    idle = _idle_names(space.base.model)
    useless = [f"{n} has no effect on this model. Leave it out." for n in raw if n in idle]
    raw = {name: value for name, value in raw.items() if name not in idle}
    try:
        changes = read_fields(raw, space.signature)
        base = apply(space.base, changes)
    except (ValueError, ConfigError) as error:
        problems += faults(error)
    if problems or useless:
        swept = {n for n, value in raw.items() if _is_sweep(n, value, space.signature)}
        problems = [
            f"{fault} Several values make a sweep: hpo grid {name}={values[name]}"
            if (name := fault.partition(" ")[0]) in swept
            else fault
            for fault in problems
        ]
        raise UsageError(fault_list("--set or --epochs is invalid:", problems + useless))
    sweeps = {}
    for name, sweep in space.sweeps.items():
        overruled = overlapping(sweep.set, changes)
        remaining = {n: value for n, value in sweep.set.items() if n not in overruled}
        sweeps[name] = sweep.model_copy(update={"set": remaining})
    removed = set(overlapping((parameter.name for parameter in space.search), changes))
    search = settle(space, removed, base)
    pinned = tuple(dict.fromkeys([*space.pinned, *changes]))
    return replace(space, base=base, sweeps=sweeps, search=search, pinned=pinned)


def with_values(space: Space, new_values: Mapping[str, Any]) -> Space:
    """Replace the values of sweeps (`--values NAME=V,V,V`), or define a sweep with them.

    Texts are split at commas; a list in them is one value: `hidden=64-64,128` or
    `dropout=0.5,[0.9,0.9,0.8]`. Other fields that the space prescribes with the values (`set`)
    stay.

    Raises:
        UsageError: unknown names, values that cannot be used; all faults at once.
    """
    sweeps, problems = dict(space.sweeps), []
    for name, some in new_values.items():
        if name not in space.names:
            problems.append(unknown_name(name, space.signature))
            continue
        some = some.tolist() if hasattr(some, "tolist") else some  # An array, such as logspace.
        parts = _COMMA.split(some) if isinstance(some, str) else some
        parts = parts if isinstance(parts, list | tuple | range) else [parts]
        values = [parse_value(part) if isinstance(part, str) else part for part in parts]
        changes = sweeps[name].set if name in sweeps else {}
        try:
            sweep = {"name": name, "values": values, "set": changes}
            sweeps[name] = Sweep.model_validate(sweep, context=space.signature)
        except ValidationError as error:
            problems += faults(error, name)
    if problems:
        raise UsageError(fault_list("The values are invalid:", problems))
    return replace(space, sweeps={name: sweeps[name] for name in space.names if name in sweeps})


def restrict(space: Space, names: Sequence[str]) -> Space:
    """Search only the named parameters (`--param` in a search).

    The others keep the values of the first configuration of the whole search: the base or, as a
    single choice, what it was moved to. `hidden` means `layers` and `width` if those are searched.

    Raises:
        UsageError: a name is not searched, or has no effect with the other values of the base.
    """
    searched = {parameter.name: parameter for parameter in space.search}
    problems: list[str] = []
    selected: set[str] = set()
    for name in names:
        own = [name] if name in searched else overlapping(searched, {name} & {"hidden"})
        selected.update(own)
        if name not in space.names:
            problems.append(unknown_name(name, space.signature))
        elif not own and overlapping(space.pinned, [name]):
            problems.append(f"--param {name} is fixed by --set or --epochs. Drop one of the two.")
        elif not own:
            problems.append(f"--param {name} is not searched in the space {space.name}.")
    first = complete(space, {}) or Cell({}, space.base)
    search = settle(space, searched.keys() - selected, first.config)
    lost = selected - {parameter.name for parameter in search}
    for name in (name for name in searched if name in lost):
        when = {n: " or ".join(map(value_text, v)) for n, v in searched[name].when.items()}
        conditions = " and ".join(f"{other} = {values}" for other, values in when.items())
        other, values = next(iter(searched[name].when.items()))
        problems.append(
            f"--param {name} is searched only where {conditions}, and the base differs. "
            f"Add --param {other}, or --set {other}={value_text(values[0])}."
        )
    if problems:
        raise UsageError(fault_list("--param is invalid:", problems))
    moved: list[Parameter] = []
    for name, value in first.params.items():
        if name not in selected and value != current_label(space.base, name):
            old: Any = searched[name]
            choice = old.choices[old.labels.index(value)] if isinstance(old, Choices) else value
            raw = {"name": name, "choices": [choice]}
            moved.append(Choices.model_validate(raw, context=space.signature))
    return replace(space, search=(*moved, *search))


def settle(space: Space, removed: Set[str], base: TrainingConfig) -> tuple[Parameter, ...]:
    """Remove parameters from a search; they keep the base's values.

    A condition on one of them is then always or never true. Parameters whose condition is never
    true are removed too, and so are those with a condition on these.
    """
    remaining: list[Parameter] = []
    inactive: set[str] = set()
    for parameter in space.search:
        name, when = parameter.name, parameter.when
        never = any(n in removed and current_label(base, n) not in when[n] for n in when)
        if never or inactive & when.keys():
            inactive.add(name)
        elif name not in removed:
            conditions = {n: labels for n, labels in when.items() if n not in removed}
            remaining.append(parameter.model_copy(update={"when": conditions}))
    return order_by_conditions(remaining, base.signature)


def _is_sweep(name: str, value: object, signature: Signature | None) -> bool:
    """Whether a value lists values of a hyperparameter that takes one at a time."""

    def takes(value: object) -> bool:
        try:
            read_fields({name: value}, signature)
        except ValueError:
            return False
        return True

    return (
        isinstance(value, list)
        and len(value) > 1
        and all(map(takes, value))
        and not takes(value[:1])
    )


def _entry_of(table: object, source: str) -> str:
    match table:
        case {"entry": str(entry), **others} if not others:
            return entry
    raise SpaceError(f'{source}: Write the model as [model] and entry = "FILE.py:NAME".')


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Replace `model.channels` by `channels` everywhere."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = _flat(value) if isinstance(value, Mapping) else value
        flat |= inner if key == "model" and isinstance(inner, dict) else {key: inner}
    return flat


def _idle_names(custom: CustomModel | None) -> Set[str]:
    """Return the fields that an estimator does not use, except the number of classes."""
    if custom is None or custom.kind == "network":
        return frozenset()
    declared = {d.name for d in custom.signature}
    return {*custom.idle_fields} - {*MLP_FIELDS, "outputs"} - declared


def _with_model(space: Space, custom: CustomModel) -> Space:
    idle = {*custom.idle_fields, "layers", "width"}
    fields = {n: v for n, v in space.base.to_mapping().items() if n not in idle}
    fields |= {"epochs": 1} if "epochs" in idle else {}
    # Only this loss uses the probabilities of an estimator unchanged for any number of classes.
    fields |= {"loss": "ce"} if "loss" in idle else {}
    base = TrainingConfig.from_mapping(fields | {"model": custom})
    sweeps = {
        name: sweep
        for name, sweep in space.sweeps.items()
        if not idle & {name, *sweep.set, *(n for value in sweep.values for n in value)}
    }
    declared = tuple(_declared_ranges(custom))
    search = settle(space, idle, space.base)
    return replace(space, base=base, sweeps=sweeps, search=(*declared, *search))


def _declared_sweeps(custom: CustomModel) -> list[tuple[str, Sweep]]:
    values = {d.name: [False, True] if d.kind == "bool" else d.choices for d in custom.signature}
    return [
        (name, Sweep.model_validate({"name": name, "values": some}, context=custom.signature))
        for name, some in values.items()
        if some
    ]


def _declared_ranges(custom: CustomModel) -> list[Parameter]:
    ranges: list[Parameter] = []
    for d in custom.signature:
        raw: dict[str, Any] = {"name": d.name}
        # Scikit-learn's own switches are not searched unless `estimator` lists them.
        if d.choices or (d.kind == "bool" and custom.kind == "network"):
            raw["choices"] = d.choices or (False, True)
            ranges.append(Choices.model_validate(raw, context=custom.signature))
        elif d.low is not None:
            raw |= {"low": d.low, "high": d.high, "log": d.log}
            ranges.append(Range.model_validate(raw, context=custom.signature))
    return ranges
