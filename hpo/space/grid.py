"""The cells of a grid: the product of prescribed sweeps."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from hpo.config import Value, describe
from hpo.errors import ConfigError, UsageError, fault_list
from hpo.space.records import (
    NAMES,
    Cell,
    Space,
    Sweep,
    apply,
    overlapping,
    params_text,
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

    The first name varies slowest. What a sweep's `set` says holds for all cells, except for the
    fields that are varied. Of combinations that are one training (a step_size has no effect but
    under some schedulers) the first stands for all, without the parameters that have no effect.

    Raises:
        UsageError: a name without a sweep, two sweeps of one field, a swept field that is fixed
            by `--set` or `--epochs`, a combination that makes no sense; all faults at once.
    """
    if not names:
        raise UsageError(f"Name what to vary with --param NAME. {_overview(space)}")
    if found := _name_faults(space, names) or _clashes(space, [space.sweeps[n] for n in names]):
        raise UsageError(fault_list("This grid cannot be trained:", found))
    trainings: dict[str, list[Cell]] = {}
    for cell in _combinations(space, [space.sweeps[name] for name in names]):
        trainings.setdefault(cell.config.identity(), []).append(cell)
    sizes = {name: len(space.sweeps[name].values) for name in names}
    merged = tuple(_merged(alike, sizes) for alike in trainings.values())
    inert = [
        f"--param {name} has no effect with the other values as they are. "
        + (f"Add --set {_NEEDS[name]}." if name in _NEEDS else "Vary something else.")
        for name in names
        if not any(name in cell.params for cell in merged)
    ]
    if inert:
        raise UsageError(fault_list("This grid would compare a training with itself:", inert))
    return merged


def n_combinations(space: Space, names: Sequence[str]) -> int:
    """Return how many combinations the values of these sweeps have."""
    return math.prod(len(space.sweeps[name].values) for name in names)


def _overview(space: Space) -> str:
    if not space.sweeps:
        return f"The space {space.name} prescribes no values. Add --values NAME=V,V,V."
    lines = [f"{n}: {', '.join(map(value_text, s.labels))}" for n, s in space.sweeps.items()]
    return fault_list(f"The space {space.name} prescribes values for:", lines)


def _name_faults(space: Space, names: Sequence[str]) -> list[str]:
    found = []
    for index, name in enumerate(names):
        if name not in NAMES:
            found.append(unknown_name(name))
        elif name not in space.sweeps:
            found.append(f"--param {name} has no prescribed values. Add --values {name}=V,V,V.")
        elif pinned := overlapping(space.pinned, [name]):
            found.append(f"--param {name} varies what {_pin(pinned)} fixes. Drop one of the two.")
        if twice := overlapping(names[:index], [name]):
            found.append(f"--param {twice[0]} and --param {name} vary the same. Drop one of them.")
    if not found and (n_cells := n_combinations(space, names)) > _MOST_CELLS:
        found.append(f"It has {n_cells:,} configurations. The limit is {_MOST_CELLS:,}.")
    return found


def _pin(names: Sequence[str]) -> str:
    """Write the options that may have fixed the names."""
    return " or ".join("--epochs" if name == "epochs" else f"--set {name}" for name in names)


def _clashes(space: Space, sweeps: Sequence[Sweep]) -> list[str]:
    """Return a fault for each field that is set from two sides."""
    found = [
        f"--param {sweep.name}: Its value {value_text(label)} sets {name}, which {_pin([name])} "
        "fixes. Drop one of the two."
        for sweep in sweeps
        for value, label in zip(sweep.values, sweep.labels, strict=True)
        for name in overlapping(space.pinned, value.keys() - {sweep.name})
    ]
    for a, b in itertools.combinations(sweeps, 2):
        varied_by_a, varied_by_b = (dict.fromkeys(n for v in s.values for n in v) for s in (a, b))
        if both := overlapping(varied_by_a, varied_by_b):
            found.append(
                f"--param {a.name} and --param {b.name} both set {', '.join(both)}. Vary them one "
                "at a time, or give other values with --values."
            )
        for name, wanted in a.set.items():
            other = b.set.get(name, wanted)
            if other != wanted and not overlapping([name], [sweep.name for sweep in sweeps]):
                found.append(
                    f"--param {a.name} is prescribed with {name} = {describe(wanted)}, --param "
                    f"{b.name} with {describe(other)}. Fix it with --set {name}=V."
                )
    return found


def _combinations(space: Space, sweeps: Sequence[Sweep]) -> list[Cell]:
    common: dict[str, Value] = {}
    for sweep in sweeps:
        common |= sweep.set
    grid = []
    options = [zip(sweep.labels, sweep.values, strict=True) for sweep in sweeps]
    for ordinal, chosen in enumerate(itertools.product(*options)):
        params = {sweep.name: label for sweep, (label, _) in zip(sweeps, chosen, strict=True)}
        changes = {name: item for _, value in chosen for name, item in value.items()}
        try:
            config = apply(apply(space.base, common), changes)
        except ConfigError as error:
            place = f"{params_text(params)} cannot be trained:"
            raise UsageError(fault_list(place, error.faults)) from None
        grid.append(Cell(params, config, ordinal))
    return grid


def _merged(alike: Sequence[Cell], sizes: Mapping[str, int]) -> Cell:
    """Return the first of cells that are one training, without the parameters of no effect.

    A parameter has no effect where each of its values gives this training.
    """
    first, kept = alike[0], dict(alike[0].params)
    for name, size in sizes.items():
        rest = {other: label for other, label in kept.items() if other != name}
        n_alike = sum(rest.items() <= cell.params.items() for cell in alike)
        if size > 1 and n_alike == math.prod(n for other, n in sizes.items() if other not in rest):
            kept = rest
    return replace(first, params=kept)
