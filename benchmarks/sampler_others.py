"""Samplers that remember their own proposals, for `benchmarks.sampler_replays`.

CMA-ES of Optuna needs `pip install cmaes`, SMAC3 `pip install smac`, Ax `pip install ax-platform`.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any, Final

import optuna
from optuna.samplers import CmaEsSampler

from benchmarks.sampler_table import SPACE
from benchmarks.sampler_truth import DOMAINS, ORDERED
from hpo.config import Scalar
from hpo.space import Choices, active, filled

Tried = dict[str, Any]
"""A configuration: `params`, `true` score, `curve`; `score` is None where it was pruned."""
_N_TRIALS: Final = 60


class Remembering(ABC):
    """A search that starts with the base, and is told each result once, in order.

    A pruned configuration has its last score, where the sampler knows nothing of pruning.
    """

    def __init__(self) -> None:
        self._asked: list[Any] = [None]
        self._n_told = 1

    def propose(self, known: list[Tried]) -> dict[str, Scalar]:
        """Return the next proposal after telling what is newly known; `known` holds the base."""
        for one, asked in list(zip(known, self._asked, strict=False))[self._n_told :]:
            self._n_told += 1
            self._tell(asked, one)
        asked, params = self._ask()
        self._asked.append(asked)
        return active(SPACE, params)

    @abstractmethod
    def tell_base(self, base: Tried) -> None:
        """Tell the result of the first configuration, which is given."""

    @abstractmethod
    def _ask(self) -> tuple[Any, dict[str, Scalar]]:
        """Return a proposal as the sampler names it, and its parameters."""

    @abstractmethod
    def _tell(self, asked: Any, one: Tried) -> None:
        """Tell the result of a proposal."""


def _last_score(one: Tried) -> float:
    return float(one["curve"][-1] if one["score"] is None else one["score"])


class CmaEs(Remembering):
    """Optuna's CMA-ES."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        sampler = CmaEsSampler(seed=seed, warn_independent_sampling=False)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)

    def tell_base(self, base: Tried) -> None:
        params = filled(SPACE, base["params"])
        trial = optuna.create_trial(params=params, distributions=DOMAINS, value=base["score"])
        self._study.add_trial(trial)

    def _ask(self) -> tuple[Any, dict[str, Scalar]]:
        trial = self._study.ask()
        return trial, {name: trial._suggest(name, one) for name, one in DOMAINS.items()}

    def _tell(self, asked: Any, one: Tried) -> None:
        if one["score"] is None:
            self._study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(asked, one["score"])


class Smac(Remembering):
    """SMAC3 with its defaults for hyperparameters (a random forest), a new one per proposal.

    It knows which hyperparameters are conditional.
    """

    def __init__(self, seed: int) -> None:
        import smac

        super().__init__()
        facade = smac.HyperparameterOptimizationFacade
        self._folder = TemporaryDirectory()
        scenario = smac.Scenario(
            _configuration_space(seed),
            deterministic=True,
            n_trials=_N_TRIALS,
            seed=seed,
            output_directory=self._folder.name,
        )
        self._smac = facade(
            scenario,
            lambda _config, seed=0: float(seed),  # Never called: SMAC wants its arguments.
            config_selector=facade.get_config_selector(scenario, retrain_after=1),
            intensifier=facade.get_intensifier(scenario, max_config_calls=1),
            logging_level=False,
            overwrite=True,
        )

    def tell_base(self, base: Tried) -> None:
        from ConfigSpace import Configuration
        from smac.runhistory.dataclasses import TrialInfo

        space = self._smac.scenario.configspace
        values = {name: base["params"][name] for name in base["params"] if name in space}
        self._tell(TrialInfo(Configuration(space, values), seed=0), base)

    def _ask(self) -> tuple[Any, dict[str, Scalar]]:
        info = self._smac.ask()
        return info, {name: _plain(value) for name, value in info.config.items()}

    def _tell(self, asked: Any, one: Tried) -> None:
        from smac.runhistory.dataclasses import TrialValue

        self._smac.tell(asked, TrialValue(cost=1 - _last_score(one)), save=False)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _configuration_space(seed: int) -> Any:
    from ConfigSpace import Categorical, ConfigurationSpace, Float, InCondition, Integer

    space = ConfigurationSpace(seed=seed)
    for parameter in SPACE.search:
        name = parameter.name
        if isinstance(parameter, Choices):
            one = Categorical(name, parameter.labels)
        else:
            kind = Integer if isinstance(parameter.low, int) else Float
            one = kind(name, (parameter.low, parameter.high), log=parameter.log)
        space.add(one)
    for parameter in SPACE.search:
        for parent, values in (parameter.when or {}).items():
            allowed = list(values) if isinstance(values, (list, tuple)) else [values]
            space.add(InCondition(space[parameter.name], space[parent], allowed))
    return space


class Ax(Remembering):
    """Ax with its defaults, on the static space."""

    def __init__(self, seed: int) -> None:
        from ax.api.client import Client
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        super().__init__()
        logging.disable(logging.INFO)  # It reports each trial.
        self._client = Client(random_seed=seed)
        parameters: list[Any] = []
        for one in SPACE.search:
            if isinstance(one, Choices):
                labels = list(one.labels)
                kind = {int: "int", float: "float", str: "str"}[type(labels[0])]  # type: ignore[index]
                parameters.append(
                    ChoiceParameterConfig(one.name, labels, kind, is_ordered=one.name in ORDERED)
                )
            else:
                kind = "int" if isinstance(one.low, int) else "float"
                scaling = "log" if one.log else "linear"
                bounds = (one.low, one.high)
                parameters.append(RangeParameterConfig(one.name, bounds, kind, scaling=scaling))
        self._client.configure_experiment(parameters)
        self._client.configure_optimization("score")
        # While too few results are known, more Sobol points follow.
        self._client.configure_generation_strategy(allow_exceeding_initialization_budget=True)

    def tell_base(self, base: Tried) -> None:
        place = self._client.attach_trial(filled(SPACE, base["params"]))
        self._tell(place, base)

    def _ask(self) -> tuple[Any, dict[str, Scalar]]:
        (found,) = self._client.get_next_trials(max_trials=1).items()
        place, params = found
        return place, dict(params)

    def _tell(self, asked: Any, one: Tried) -> None:
        self._client.complete_trial(asked, raw_data={"score": _last_score(one)})


OTHERS: Final[dict[str, Callable[[int], Remembering]]] = {"cmaes": CmaEs, "smac": Smac, "ax": Ax}
