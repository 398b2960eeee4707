"""The speed of a driver if training takes no time, compared with plain Optuna."""

import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import optuna

from hpo.run import session as sessions
from hpo.run.plan import Settings, plan_search
from hpo.run.session import open_session, training_events
from tests.clocked import ClockedStack

_EPOCHS: Final = 30
_NAMES: Final = ("learning_rate", "dropout", "optimizer")


@dataclass(frozen=True)
class Pace:
    """The cost of a number of trials with 30 reports each."""

    n_trials: int
    seconds: float

    def to_document(self) -> dict[str, Any]:
        return asdict(self) | {"trials_per_second": self.n_trials / self.seconds}


def of_hpo(url: str, data: object, *, n_trials: int) -> Pace:
    """Run a random search of this many trials: three parameters, 30 reports per trial."""
    settings = Settings(
        data=str(data),
        set={"image_size": 16, "epochs": _EPOCHS},
        study="pace",
        storage=url,
        lanes=8,
        metric="accuracy",
        trials=n_trials,
        sampler="random",
        pruner="none",
        finalists=0,
    )
    plan = plan_search(_NAMES, settings)
    sessions.open_stack = lambda *_args, **_options: ClockedStack()  # type: ignore[attr-defined]
    with open_session(plan) as session:
        started = time.monotonic()
        for _ in training_events(session):
            pass
        assert not session.source.n_left()
        return Pace(n_trials, time.monotonic() - started)


def of_optuna(url: str, *, n_trials: int) -> Pace:
    """Call `study.optimize`, on a storage opened by Optuna."""

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("learning_rate", 1e-6, 0.1, log=True)
        score = trial.suggest_float("dropout", 0.0, 0.9) + rate
        trial.suggest_categorical("optimizer", ["adam", "sgd"])
        for epoch in range(1, _EPOCHS + 1):
            trial.report(score, epoch)
        return score

    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name="plain", storage=url, sampler=sampler)
    started = time.monotonic()
    study.optimize(objective, n_trials=n_trials)
    return Pace(n_trials, time.monotonic() - started)
