"""Parameters of a search <-> configurations."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo.config import Scalar, TrainingConfig, Value
from hpo.errors import ConfigError, UsageError
from hpo.space.records import (
    Cell,
    Choices,
    Parameter,
    Range,
    Space,
    apply,
    current_label,
    fit_dropout,
    is_active,
    read_fields,
    value_text,
)


def resolve(space: Space, params: Mapping[str, Scalar]) -> TrainingConfig:
    """Return the configuration that searched parameters describe; the rest is the base.

    A dropout per layer, in the base or among the choices, is fitted to the number of layers
    (`fit_dropout`).

    Raises:
        UsageError: a parameter is not searched, or cannot take its value.
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
            changes |= read_fields({name: label})
    if "dropout" in changes:
        n_layers = len(apply(space.base, changes | {"dropout": 0.0}).hidden)
        changes["dropout"] = fit_dropout(changes["dropout"], n_layers)
    return apply(space.base, changes)


def complete(space: Space, asked: Mapping[str, Any]) -> Cell | None:
    """Return the configuration with these parameters and the others as in the base.

    A number of the base that its range does not hold is moved to the nearest that it holds, of two
    that are equally near to the lower. None if the ranges cannot express the configuration. What
    has no effect beside the others is left out.
    """
    if not asked.keys() <= {parameter.name for parameter in space.search}:
        return None
    params: dict[str, Scalar] = {}
    for parameter in space.search:
        if not is_active(parameter, params):
            continue
        name = parameter.name
        label = parameter.find(asked[name]) if name in asked else _nearest(parameter, space.base)
        if label is None:
            return None
        params[name] = label
    try:
        return Cell(params, resolve(space, params))
    except ConfigError:
        return None


def search_cells(space: Space, *, most: int) -> list[Cell] | None:
    """Return every configuration of the ranges once, None if there are more than `most`."""
    found: dict[str, Cell] = {}
    for params in _all_params(space.search, {}):
        if params is None:
            return None
        config = resolve(space, params)
        found.setdefault(config.identity(), Cell(params, config))
        if len(found) > most:
            return None
    return list(found.values())


def _all_params(
    parameters: Sequence[Parameter], chosen: Mapping[str, Scalar]
) -> Iterator[dict[str, Scalar] | None]:
    """Yield every combination; None for a range with too many values to count."""
    if not parameters:
        yield dict(chosen)
        return
    first, rest = parameters[0], parameters[1:]
    if not is_active(first, chosen):
        yield from _all_params(rest, chosen)
    elif first.labels is None:
        yield None
    else:
        for label in first.labels:
            yield from _all_params(rest, {**chosen, first.name: label})


def _nearest(parameter: Parameter, base: TrainingConfig) -> Scalar | None:
    """Return the label that the base has, else the nearest number, None where there is none.

    A dropout per layer that is the same in every layer also counts as that one number.
    """
    own = [current_label(base, parameter.name)]
    if parameter.name == "dropout" and len(set(base.dropout_per_layer)) == 1:
        own.append(base.dropout_per_layer[0])
    for label in own:
        if (found := parameter.find(label)) is not None:
            return found
    labels, value = parameter.labels, own[0]
    if labels is None and isinstance(parameter, Range):
        labels = [parameter.low, parameter.high]  # A value outside is beyond one of the ends.
    if isinstance(value, bool | str | None):
        return None
    numbers = [n for n in labels or () if not isinstance(n, bool | str)]
    return min(numbers, key=lambda n: abs(float(n) - float(value)), default=None)
