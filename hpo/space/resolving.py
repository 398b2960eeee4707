"""Parameters of a search <-> configurations."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from hpo.config import Scalar, TrainingConfig, Value
from hpo.errors import ConfigError, UsageError
from hpo.space.fields import NAMES, apply, current_label, fit_dropout
from hpo.space.records import (
    Cell,
    Choices,
    Domain,
    FloatRange,
    IntRange,
    Parameter,
    Space,
    value_text,
)


def resolve(space: Space, params: Mapping[str, Scalar]) -> TrainingConfig:
    """Return the configuration that searched parameters describe; the rest is the base.

    A dropout per layer, in the base or among the choices, is fitted to the number of layers
    (`fit_dropout`).

    Raises:
        UsageError: a parameter is not searched, or cannot take its value.
    """
    known = {parameter.name: parameter for parameter in space.search}
    changes: dict[str, Value] = {}
    for name, label in params.items():
        if name not in known:
            raise UsageError(f"{name} is not searched in the space {space.name}")
        changes[name] = _value(known[name], label)
    if "dropout" in changes:
        n_layers = len(apply(space.base, changes | {"dropout": 0.0}).hidden)
        changes["dropout"] = fit_dropout(changes["dropout"], n_layers)
    return apply(space.base, changes)


def params_of(space: Space, config: TrainingConfig) -> dict[str, Scalar] | None:
    """Return the searched parameters that express a configuration, None if none do."""
    params: dict[str, Scalar] = {}
    for parameter in space.search:
        if not parameter.is_active(params):
            continue
        label = _label(parameter, config)
        if label is None:
            return None
        params[parameter.name] = label
    try:
        is_expressed = resolve(space, params).identity() == config.identity()
    except ConfigError:
        return None
    return params if is_expressed else None


def first_cell(space: Space) -> Cell | None:
    """Return the configuration to begin a search with, None if the ranges cannot express it.

    It is the base, with every number that its range does not hold moved to the nearest it holds,
    of two that are equally near to the lower.
    """
    return _completed(space, {})


def complete(space: Space, asked: Mapping[str, Any]) -> Cell | None:
    """Return the configuration with these parameters, the others as `first_cell` has them.

    None if the ranges cannot express it. What has no effect beside the others is left out.
    """
    if not asked.keys() <= {parameter.name for parameter in space.search}:
        return None
    try:
        return _completed(space, asked)
    except ConfigError:
        return None


def _completed(space: Space, asked: Mapping[str, Any]) -> Cell | None:
    params: dict[str, Scalar] = {}
    for parameter in space.search:
        if not parameter.is_active(params):
            continue
        if parameter.name in asked:
            label = _as_label(parameter.domain, asked[parameter.name])
        else:
            label = _label(parameter, space.base)
            if label is None:
                label = _nearest(parameter.domain, current_label(space.base, parameter.name))
        if label is None:
            return None
        params[parameter.name] = label
    return Cell(params, resolve(space, params))


def _as_label(domain: Domain, value: Any) -> Scalar | None:
    """Return a value that was read somewhere as the domain has it, None where it has none."""
    if not domain.contains(value):
        return None
    match domain:
        case Choices():
            return domain.labels[domain.labels.index(value)]
        case FloatRange():
            return float(value)
    return int(value)


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
    """Yield every choice; None for a range that has no end of them."""
    if not parameters:
        yield dict(chosen)
        return
    first, rest = parameters[0], parameters[1:]
    labels = _labels_of(first.domain) if first.is_active(chosen) else [None]
    if labels is None:
        yield None
        return
    for label in labels:
        yield from _all_params(rest, chosen if label is None else {**chosen, first.name: label})


def _labels_of(domain: Domain) -> Sequence[Scalar | None] | None:
    match domain:
        case Choices():
            return domain.labels
        case IntRange():
            return range(domain.low, domain.high + 1, domain.step)
        case FloatRange():
            return [domain.low] if domain.low == domain.high else None


def _nearest(domain: Domain, value: Scalar | None) -> Scalar | None:
    """Return the number of a domain that is nearest to a number; None for other values."""
    if not _is_number(value):
        return None
    numbers: Sequence[int | float]
    match domain:
        case Choices():
            numbers = [label for label in domain.labels if _is_number(label)]
        case IntRange():
            numbers = range(domain.low, domain.high + 1, domain.step)
        case FloatRange():
            numbers = [domain.low, domain.high]  # What it does not hold is beyond an end.
    return min(numbers, key=lambda number: abs(float(number) - float(value)), default=None)


def _is_number(label: Scalar | None) -> TypeGuard[int | float]:
    return isinstance(label, int | float) and not isinstance(label, bool)


def _value(parameter: Parameter, label: Scalar) -> Value:
    domain = parameter.domain
    if not domain.contains(label):
        raise UsageError(f"{parameter.name} takes {domain.allowed}, but got {value_text(label)}")
    if isinstance(domain, Choices):
        return domain.values[domain.labels.index(label)]
    return NAMES[parameter.name].read(label)


def _label(parameter: Parameter, config: TrainingConfig) -> Scalar | None:
    """Return the label that the parameter has in a configuration, None if it cannot have it.

    A dropout per layer that is the same in every layer also counts as that one number.
    """
    labels = [current_label(config, parameter.name)]
    if parameter.name == "dropout" and len(set(config.dropout_per_layer)) == 1:
        labels.append(config.dropout_per_layer[0])
    return next((label for label in labels if _takes(parameter, label)), None)


def _takes(parameter: Parameter, label: Scalar | None) -> bool:
    return label is not None and parameter.domain.contains(label)
