"""The parameters of a space in Optuna's words."""

from collections.abc import Mapping
from typing import cast

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpo.config import Scalar
from hpo.space import Choices, Domain, FloatRange, IntRange, Parameter, Space
from hpo.study.record import StudyRecord


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Scalar]:
    """Let the trial choose a value for each parameter of the space whose conditions hold."""
    params: dict[str, Scalar] = {}
    for parameter in space.search:
        if parameter.is_active(params):
            params[parameter.name] = _suggest(trial, parameter)
    return params


def recorded(record: StudyRecord, params: Mapping[str, Scalar]) -> dict[str, BaseDistribution]:
    """Return what the parameters of a configuration were chosen from: its sweep, or its range."""
    space = record.space
    domains: dict[str, BaseDistribution] = (
        {name: CategoricalDistribution(sweep.labels) for name, sweep in space.sweeps.items()}
        if record.kind == "grid"
        else {p.name: distribution(p.domain) for p in space.search}
    )
    return {name: domains[name] for name in params}


def distribution(domain: Domain) -> BaseDistribution:
    """Return the distribution of a domain."""
    match domain:
        case Choices():
            return CategoricalDistribution(domain.labels)
        case IntRange():
            return IntDistribution(domain.low, domain.high, domain.log, domain.step)
        case FloatRange():
            return FloatDistribution(domain.low, domain.high, domain.log)


def _suggest(trial: optuna.Trial, parameter: Parameter) -> Scalar:
    name, domain = parameter.name, parameter.domain
    match domain:
        case Choices():
            return cast(Scalar, trial.suggest_categorical(name, domain.labels))
        case IntRange():
            return trial.suggest_int(
                name, domain.low, domain.high, step=domain.step, log=domain.log
            )
        case FloatRange():
            return trial.suggest_float(name, domain.low, domain.high, log=domain.log)
