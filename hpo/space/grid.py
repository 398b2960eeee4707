"""The cells of a grid: the product of prescribed sweeps."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from hpo.config import Scalar, TrainingConfig, Value, describe
from hpo.errors import ConfigError, UsageError, fault_list
from hpo.space.fields import NAMES, apply, overlapping, reasons, unknown_name
from hpo.space.records import Cell, Space, Sweep, SweepValue, value_text

_MOST_CELLS: Final = 10_000
_Params: TypeAlias = tuple[tuple[str, Scalar], ...]

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

    The first name varies slowest. What a sweep's `set` says holds for all cells, except for the
    fields that are varied. Of combinations that are one training (a step_size has no effect but
    under some schedulers) the first stands for all, without the parameters that have no effect.

    Raises:
        UsageError: a name without a sweep, two sweeps of one field, a swept field that is fixed
            by `--set` or `--epochs`, a combination that makes no sense; all faults at once.
    """
    if not names:
        raise UsageError(f"Name what to vary with --param NAME. {_overview(space)}")
    faults = _name_faults(space, names)
    if not faults:
        sweeps = [space.sweeps[name] for name in names]
        faults = _clashes(space, sweeps)
        n_cells = n_combinations(space, names)
        if n_cells > _MOST_CELLS:
            faults.append(
                f"it has {n_cells:,} configurations; at most {_MOST_CELLS:,} are trained"
            )
    if faults:
        raise UsageError(fault_list("This grid cannot be made:", faults))
    base = _grid_base(space, sweeps)
    grid = [
        replace(_cell(base, sweeps, values), ordinal=ordinal)
        for ordinal, values in enumerate(itertools.product(*(s.values for s in sweeps)))
    ]
    trainings = [cell.config.identity() for cell in grid]
    if inert := [fault for name in names if (fault := _inert(name, grid, trainings))]:
        raise UsageError(fault_list("This grid would compare a training with itself:", inert))
    for name in names:
        grid = _without_effect(name, grid, trainings)
    firsts: dict[str, Cell] = {}
    for cell in grid:
        firsts.setdefault(trainings[cell.ordinal], cell)
    return tuple(firsts.values())


def n_combinations(space: Space, names: Sequence[str]) -> int:
    """Return how many combinations the values of these sweeps have."""
    return math.prod(len(space.sweeps[name].values) for name in names)


def _overview(space: Space) -> str:
    if not space.sweeps:
        return f"The space {space.name} prescribes no values: give some with --values NAME=V,V,V."
    lines = [
        f"{name}: {', '.join(value_text(label) for label in sweep.labels)}"
        for name, sweep in space.sweeps.items()
    ]
    return fault_list(f"The space {space.name} prescribes values for:", lines)


def _name_faults(space: Space, names: Sequence[str]) -> list[str]:
    faults = []
    for index, name in enumerate(names):
        if name not in NAMES:
            faults.append(unknown_name(name))
        elif name not in space.sweeps:
            faults.append(
                f"--param {name} has no prescribed values: give some with --values {name}=V,V,V"
            )
        elif pinned := overlapping(space.pinned, [name]):
            faults.append(f"--param {name} varies what {_pin(pinned)} fixes: drop one of the two")
        if twice := overlapping(names[:index], [name]):
            faults.append(f"--param {twice[0]} and --param {name} vary the same: drop one of them")
    return faults


def _pin(names: Sequence[str]) -> str:
    """Write the options that may have fixed the names."""
    return " or ".join("--epochs" if name == "epochs" else f"--set {name}" for name in names)


def _clashes(space: Space, sweeps: Sequence[Sweep]) -> list[str]:
    """Return a fault for each field that is set from two sides."""
    names = [sweep.name for sweep in sweeps]
    faults = []
    for sweep in sweeps:
        for value in sweep.values:
            further = [name for name, _ in value.fields if name != sweep.name]
            for name in overlapping(space.pinned, further):
                faults.append(
                    f"--param {sweep.name}: its value {value_text(value.label)} sets {name}, "
                    f"which {_pin([name])} fixes: drop one of the two"
                )
    for a, b in itertools.combinations(sweeps, 2):
        if both := overlapping(_varied(a), _varied(b)):
            faults.append(
                f"--param {a.name} and --param {b.name} both set {', '.join(both)}: "
                "vary them one at a time, or give other values with --values"
            )
        for name, wanted in a.set:
            other = dict(b.set).get(name, wanted)
            if other != wanted and not overlapping([name], names):
                faults.append(
                    f"--param {a.name} is prescribed with {name} = {describe(wanted)}, --param "
                    f"{b.name} with {describe(other)}: fix it with --set {name}=V"
                )
    return faults


def _varied(sweep: Sweep) -> list[str]:
    """Return the names that the values of a sweep set."""
    return list(dict.fromkeys(name for value in sweep.values for name, _ in value.fields))


def _grid_base(space: Space, sweeps: Sequence[Sweep]) -> TrainingConfig:
    changes: dict[str, Value] = {}
    for sweep in sweeps:
        changes |= dict(sweep.set)
    return _apply(space.base, changes, "the base of this grid")


def _cell(base: TrainingConfig, sweeps: Sequence[Sweep], values: Sequence[SweepValue]) -> Cell:
    params = {sweep.name: value.label for sweep, value in zip(sweeps, values, strict=True)}
    changes = {name: item for value in values for name, item in value.fields}
    place = ", ".join(f"{name} = {value_text(label)}" for name, label in params.items())
    return Cell(params, _apply(base, changes, place))


def _apply(base: TrainingConfig, changes: Mapping[str, Value], place: str) -> TrainingConfig:
    try:
        return apply(base, changes)
    except ConfigError as error:
        raise UsageError(fault_list(f"{place} cannot be trained:", reasons(error))) from None


def _inert(name: str, grid: Sequence[Cell], trainings: Sequence[str]) -> str | None:
    """Return the fault of a parameter that changes no training of the grid."""
    n_values = len({cell.params[name] for cell in grid})
    groups = _by_rest(name, grid).values()
    if n_values == 1 or not all(_are_one(group, trainings) for group in groups):
        return None
    way_out = f"add --set {_NEEDS[name]}" if name in _NEEDS else "vary something else"
    return f"--param {name} has no effect with the other values as they are: {way_out}"


def _without_effect(name: str, grid: Sequence[Cell], trainings: Sequence[str]) -> list[Cell]:
    """Make one cell of those that only this parameter tells apart, where it changes nothing."""
    left = []
    for rest, group in _by_rest(name, grid).items():
        if len(group) > 1 and _are_one(group, trainings):
            left.append(replace(group[0], params=dict(rest)))
        else:
            left += group
    return sorted(left, key=lambda cell: cell.ordinal)


def _by_rest(name: str, grid: Sequence[Cell]) -> Mapping[_Params, list[Cell]]:
    """Group the cells that differ in nothing but this parameter."""
    groups: dict[_Params, list[Cell]] = {}
    for cell in grid:
        rest = tuple(item for item in cell.params.items() if item[0] != name)
        groups.setdefault(rest, []).append(cell)
    return groups


def _are_one(group: Sequence[Cell], trainings: Sequence[str]) -> bool:
    return len({trainings[cell.ordinal] for cell in group}) == 1
