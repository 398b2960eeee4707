"""Configurations of a space: the cells of a grid, and those of searched parameters."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from hpo.config import Scalar, TrainingConfig, Value, describe
from hpo.errors import ConfigError, UsageError, either, fault_list
from hpo.space.records import (
    Cell,
    Choices,
    Parameter,
    Range,
    Space,
    Sweep,
    apply,
    current_label,
    fit_dropout,
    is_active,
    label_of,
    overlapping,
    params_text,
    read_fields,
    unknown_name,
    value_text,
)

_MOST_CELLS: Final = 10_000

_NEEDS: Final = {
    "focal_gamma": "loss=focal",
    "momentum": "optimizer=sgd",
    "step_size": "scheduler=step",
    "gamma": "scheduler=step",
    "milestones": "scheduler=multistep",
    "power": "scheduler=polynomial",
}


def cells(space: Space, names: Sequence[str]) -> tuple[Cell, ...]:
    """Return every training among the combinations of the sweeps' values, in the prescribed order.

    The first name varies slowest. The `set` of a sweep applies to all cells, except for varied
    fields. Among combinations with the same training (step_size has an effect only with some
    schedulers), the first is used, without the parameters that have no effect.

    Raises:
        UsageError: a name without a sweep, two sweeps of one field, a swept field that is fixed
            by `--set` or `--epochs`, an invalid combination; all faults at once.
    """
    if not names:
        ask = "Name what to vary, as in `hpo grid batch_size`."
        if not space.sweeps:
            raise UsageError(
                f"{ask} The space {space.name} prescribes no values. Add --values NAME=V,V,V."
            )
        lines = [f"{n}: {', '.join(map(value_text, s.labels))}" for n, s in space.sweeps.items()]
        if others := [name for name in space.names if name not in space.sweeps]:
            lines.append(f"Others with values, as in {others[0]}=V,V: {', '.join(others)}")
        raise UsageError(fault_list(f"{ask} The space {space.name} prescribes values for:", lines))
    if faults := _name_faults(space, names) or _clashes(space, [space.sweeps[n] for n in names]):
        raise UsageError(fault_list("This grid cannot be trained:", faults))
    trainings: dict[str, list[Cell]] = {}
    for cell in _combinations(space, [space.sweeps[name] for name in names]):
        trainings.setdefault(cell.config.identity(), []).append(cell)
    sizes = {name: len(space.sweeps[name].values) for name in names}
    merged = tuple(_merged(alike, sizes) for alike in trainings.values())
    inert = [
        f"--param {name} has no effect with the other values. "
        + (f"Add --set {_NEEDS[name]}." if name in _NEEDS else "Vary something else.")
        for name in names
        if not any(name in cell.params for cell in merged)
    ]
    if inert:
        raise UsageError(fault_list("This grid would compare a training with itself:", inert))
    return merged


def n_combinations(space: Space, names: Sequence[str]) -> int:
    """Return the number of combinations of the values of these sweeps."""
    return math.prod(len(space.sweeps[name].values) for name in names)


def resolve(space: Space, params: Mapping[str, Scalar]) -> TrainingConfig:
    """Return the configuration with these searched parameters and the rest from the base.

    A dropout per layer, in the base or among the choices, is adapted to the number of layers
    (`fit_dropout`).

    Raises:
        UsageError: a parameter is not searched, or its value is not allowed.
    """
    searched = {parameter.name: parameter for parameter in space.search}
    changes: dict[str, Value] = {}
    for name, label in params.items():
        if name not in searched:
            raise UsageError(f"{name} is not searched in the space {space.name}.")
        parameter = searched[name]
        if parameter.find(label) is None:
            raise UsageError(f"{name} = {value_text(label)} is not among the searched values.")
        if isinstance(parameter, Choices):
            changes[name] = parameter.choices[parameter.labels.index(label)]
        else:
            changes |= read_fields({name: label}, space.signature)
    if "dropout" in changes and not space.base.model:
        n_layers = len(apply(space.base, changes | {"dropout": 0.0}).hidden)
        changes["dropout"] = fit_dropout(changes["dropout"], n_layers)
    return apply(space.base, changes)


def complete(space: Space, values: Mapping[str, Any]) -> Cell | None:
    """Return the configuration with these parameters and the others as in the base.

    A number of the base outside its range is moved to the nearest value in it, the lower one of
    two equally near ones; a single choice is used. None if the ranges cannot express the
    configuration. Parameters without an effect are left out.
    """
    if not values.keys() <= {parameter.name for parameter in space.search}:
        return None
    params: dict[str, Scalar] = {}
    for parameter in space.search:
        if not is_active(parameter, params):
            continue
        name = parameter.name
        label = parameter.find(values[name]) if name in values else _nearest(parameter, space.base)
        if label is None:
            return None
        params[name] = label
    try:
        return Cell(params, resolve(space, params))
    except ConfigError:
        return None


def read_point(space: Space, values: Mapping[str, object]) -> Cell:
    """Return the configuration of a search with these values and the others from the base.

    Raises:
        ConfigError: a name is not searched, or a value is out of range; all faults at once.
    """
    searched = {parameter.name: parameter for parameter in space.search}
    if "hidden" in values and {"layers", "width"} <= searched.keys():
        values = _with_shape(values)
    labels: dict[str, Scalar] = {}
    faults = []
    for name, value in values.items():
        plain: Any = tuple(value) if isinstance(value, list) else value
        if name not in space.names:
            faults.append(unknown_name(name, space.signature))
        elif name not in searched:
            fixed = current_label(space.base, name)
            if fixed is None or label_of(plain) != fixed:
                it_is = "" if fixed is None else f": it is {value_text(fixed)}"
                faults.append(f"{name} is not searched{it_is}.")
        elif (label := searched[name].find(label_of(plain))) is None:
            allowed = _searched_text(searched[name])
            faults.append(f"{name} = {value_text(plain)} is not among the values: {allowed}.")
        else:
            labels[name] = label
    cell = None if faults else complete(space, labels)
    if cell is None:
        faults = faults or ["The ranges exclude this configuration with the base's other values."]
        raise ConfigError(fault_list("This configuration cannot be tried:", faults))
    return cell


def _searched_text(parameter: Parameter) -> str:
    """Format the values of a parameter: `1e-05 to 0.1`, `16, 32 or 64`."""
    if isinstance(parameter, Range):
        return f"{value_text(parameter.low)} to {value_text(parameter.high)}"
    return either([value_text(label) for label in parameter.labels])


def _with_shape(values: Mapping[str, object]) -> Mapping[str, object]:
    """Replace hidden layers of one width, as results print them, by their number and width."""
    others = {name: value for name, value in values.items() if name != "hidden"}
    hidden: Any = ()
    with suppress(ValueError):
        hidden = read_fields({"hidden": values["hidden"]})["hidden"]
    if len({*hidden}) != 1 or {"layers", "width"} & values.keys():
        return values
    return {**others, "layers": len(hidden), "width": hidden[0]}


def active(space: Space, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the parameters without those that have no effect."""
    used: dict[str, Scalar] = {}
    for parameter in space.search:
        if is_active(parameter, used):
            used[parameter.name] = params[parameter.name]
    return used


def filled(space: Space, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return a value for every searched parameter, by default the base's.

    If the choices lack the base's value, the first choice is used.
    """
    all_params = dict(params)
    for parameter in space.search:
        if parameter.name not in all_params:
            value = _nearest(parameter, space.base)
            all_params[parameter.name] = (parameter.labels or [])[0] if value is None else value
    return all_params


def search_cells(space: Space, *, most: int) -> list[Cell] | None:
    """Return every configuration of the ranges once, None if there are more than `most`."""
    by_identity: dict[str, Cell] = {}
    for params in _all_params(space.search, {}):
        if params is None:
            return None
        config = resolve(space, params)
        by_identity.setdefault(config.identity(), Cell(params, config))
        if len(by_identity) > most:
            return None
    return list(by_identity.values())


def _name_faults(space: Space, names: Sequence[str]) -> list[str]:
    faults = []
    for index, name in enumerate(names):
        if name not in space.names:
            faults.append(unknown_name(name, space.signature))
        elif name not in space.sweeps:
            faults.append(f"--param {name} has no prescribed values. Add --values {name}=V,V,V.")
        elif pinned := overlapping(space.pinned, [name]):
            faults.append(f"--param {name} varies what {_pin(pinned)} fixes. Drop one of the two.")
        if twice := overlapping(names[:index], [name]):
            faults.append(f"--param {twice[0]} and --param {name} vary the same field. Drop one.")
    if not faults and (n_cells := n_combinations(space, names)) > _MOST_CELLS:
        faults.append(f"It has {n_cells:,} configurations. The limit is {_MOST_CELLS:,}.")
    return faults


def _pin(names: Sequence[str]) -> str:
    """Return the options that may have fixed the names."""
    return " or ".join("--epochs" if name == "epochs" else f"--set {name}" for name in names)


def _clashes(space: Space, sweeps: Sequence[Sweep]) -> list[str]:
    """Return a fault for each field that is set twice."""
    faults = [
        f"--param {sweep.name}: The value {value_text(label)} sets {name}, which {_pin([name])} "
        "fixes. Drop one of the two."
        for sweep in sweeps
        for value, label in zip(sweep.values, sweep.labels, strict=True)
        for name in overlapping(space.pinned, value.keys() - {sweep.name})
    ]
    for a, b in itertools.combinations(sweeps, 2):
        varied_by_a, varied_by_b = (dict.fromkeys(n for v in s.values for n in v) for s in (a, b))
        if both := overlapping(varied_by_a, varied_by_b):
            faults.append(
                f"--param {a.name} and --param {b.name} both set {', '.join(both)}. Vary them one "
                "at a time, or give other values with --values."
            )
        for name, value_a in a.set.items():
            value_b = b.set.get(name, value_a)
            if value_b != value_a and not overlapping([name], [sweep.name for sweep in sweeps]):
                faults.append(
                    f"--param {a.name} is prescribed with {name} = {describe(value_a)}, --param "
                    f"{b.name} with {describe(value_b)}. Fix it with --set {name}=V."
                )
    return faults


def _combinations(space: Space, sweeps: Sequence[Sweep]) -> Iterator[Cell]:
    common = {name: value for sweep in sweeps for name, value in sweep.set.items()}
    options = [zip(sweep.labels, sweep.values, strict=True) for sweep in sweeps]
    for ordinal, chosen in enumerate(itertools.product(*options)):
        params = {sweep.name: label for sweep, (label, _) in zip(sweeps, chosen, strict=True)}
        changes = {name: item for _, value in chosen for name, item in value.items()}
        try:
            config = apply(apply(space.base, common), changes)
        except ConfigError as error:
            place = f"{params_text(params)} cannot be trained:"
            raise UsageError(fault_list(place, error.faults)) from None
        yield Cell(params, config, ordinal)


def _merged(alike: Sequence[Cell], sizes: Mapping[str, int]) -> Cell:
    """Return the first of cells with the same training, without parameters of no effect.

    A parameter has no effect if all of its values give this training.
    """
    first, params = alike[0], dict(alike[0].params)
    for name, size in sizes.items():
        rest = {other: label for other, label in params.items() if other != name}
        n_alike = sum(rest.items() <= cell.params.items() for cell in alike)
        if size > 1 and n_alike == math.prod(n for other, n in sizes.items() if other not in rest):
            params = rest
    return replace(first, params=params)


def _all_params(
    parameters: Sequence[Parameter], chosen: Mapping[str, Scalar]
) -> Iterator[dict[str, Scalar] | None]:
    """Yield every combination; None for a range with too many values to count."""
    if not parameters:
        yield dict(chosen)
        return
    first, *rest = parameters
    if not is_active(first, chosen):
        yield from _all_params(rest, chosen)
    elif first.labels is None:
        yield None
    else:
        for label in first.labels:
            yield from _all_params(rest, {**chosen, first.name: label})


def _nearest(parameter: Parameter, base: TrainingConfig) -> Scalar | None:
    """Return the base's label, else the nearest number, None if there is none.

    A single choice is returned, because the search prescribes it. A dropout per layer that is
    the same in every layer also counts as that one number.
    """
    own = [current_label(base, parameter.name)]
    is_dropout = parameter.name == "dropout" and not base.model
    if is_dropout and len(set(base.dropout_per_layer)) == 1:
        own.append(base.dropout_per_layer[0])
    for label in own:
        if (own_label := parameter.find(label)) is not None:
            return own_label
    labels, value = parameter.labels, own[0]
    if labels and len(labels) == 1:
        return labels[0]
    if labels is None and isinstance(parameter, Range):
        labels = [parameter.low, parameter.high]  # A value outside is beyond one of the ends.
    if isinstance(value, bool | str | None):
        return None
    numbers = [n for n in labels or () if not isinstance(n, bool | str)]
    return min(numbers, key=lambda n: abs(float(n) - float(value)), default=None)
