"""Random configurations of a space."""

import optuna

from hpo import space as spaces
from hpo.config import TrainingConfig
from hpo.space import Space
from hpo.study.trials import search_distributions


def draw(space: Space, n: int, *, seed: int) -> list[TrainingConfig]:
    """Return this many random configurations."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    domains = search_distributions(space)
    drawn = (spaces.active(space, study.ask(domains).params) for _ in range(n))
    return [spaces.resolve(space, params) for params in drawn]
