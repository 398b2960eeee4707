"""SMAC3 as a sampler of `benchmarks.sampler_replays`; it needs `pip install smac`."""

from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.sampler_table import SPACE
from hpo.config import Scalar
from hpo.space import Choices, active

SMAC: Final = {"smac": "HyperparameterOptimizationFacade", "smac_gp": "BlackBoxFacade"}
"""SMAC's defaults for hyperparameters, a random forest, and its Gaussian process."""
_N_TRIALS: Final = 60


class Smac:
    """SMAC's own search, which starts with the base; a new model for each proposal.

    It knows which hyperparameters are conditional. A pruned configuration has its last score.
    """

    def __init__(self, way: str, seed: int) -> None:
        import smac

        facade = getattr(smac, SMAC[way])
        self._folder = TemporaryDirectory()
        scenario = smac.Scenario(
            _space(seed),
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
        self._asked: list[Any] = [None]
        self._n_told = 1

    def tell_base(self, base: dict[str, Any]) -> None:
        """Tell the result of the first configuration, which is given."""
        from ConfigSpace import Configuration
        from smac.runhistory.dataclasses import TrialInfo

        space = self._smac.scenario.configspace
        values = {name: base["params"][name] for name in base["params"] if name in space}
        self._tell(TrialInfo(Configuration(space, values), seed=0), base)

    def propose(self, known: list[dict[str, Any]]) -> dict[str, Scalar]:
        """Return the next proposal after telling what is newly known."""
        for one, info in list(zip(known, self._asked, strict=False))[self._n_told :]:
            self._n_told += 1
            self._tell(info, one)
        info = self._smac.ask()
        self._asked.append(info)
        values = {name: getattr(v, "item", lambda v=v: v)() for name, v in info.config.items()}
        return active(SPACE, values)

    def _tell(self, info: Any, one: dict[str, Any]) -> None:
        from smac.runhistory.dataclasses import TrialValue

        score = one["curve"][-1] if one["score"] is None else one["score"]
        self._smac.tell(info, TrialValue(cost=1 - score), save=False)


def _space(seed: int) -> Any:
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
