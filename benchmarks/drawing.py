"""Random configurations of a space."""

import optuna

from hpo import space as spaces
from hpo.config import TrainingConfig
from hpo.space import Space
from hpo.study.trials import suggest


def draw(space: Space, n: int, *, seed: int) -> list[TrainingConfig]:
    """Return this many random configurations."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [spaces.resolve(space, suggest(study.ask(), space)) for _ in range(n)]
