"""Many processes on one study at once: hpo's way, and Optuna's as it comes."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.trial import TrialState

from hpo import session as sessions
from hpo.plan import Plan, SearchSettings, Settings, plan_search
from hpo.session import open_session
from hpo.storage import open_storage
from tests.chaos.forks import fork, wait
from tests.clocked import ClockedStack

_EPOCHS: Final = 30
_NAMES: Final = ("learning_rate", "dropout", "optimizer")


@dataclass(frozen=True)
class Crowd:
    """What a crowd came to: processes that failed, trials complete and double, and its pace."""

    n_workers: int
    n_errors: int
    n_complete: int
    n_double: int
    seconds: float

    def to_document(self) -> dict[str, Any]:
        return asdict(self) | {"trials_per_second": self.n_complete / self.seconds}


def of_hpo(url: str, data: Path, folder: Path, *, n_workers: int, n_trials: int) -> Crowd:
    """Let so many processes train a random search: three parameters, 30 reports a trial."""
    settings = Settings(
        data=data,
        set={"image_size": 16, "epochs": _EPOCHS},
        study="crowd",
        storage=url,
        lanes=1,
        metric="accuracy",
    )
    search = SearchSettings(trials=n_trials, sampler="random", pruner="none", finalists=0)
    plan = plan_search(_NAMES, settings, search)
    # Made once, as `--workers` does; the time is that of the trials.
    open_session(plan)
    os.environ["HPO_RUNS"] = str(folder / "runs")
    seconds, n_errors = _together(n_workers, lambda _number: _train(plan))
    trials = _trials(url, "crowd")
    places = {(t.user_attrs["ordinal"], t.user_attrs["repeat"]) for t in trials}
    n_complete = sum(t.state == TrialState.COMPLETE for t in trials)
    return Crowd(n_workers, n_errors, n_complete, len(trials) - len(places), seconds)


def of_optuna(url: str, *, n_workers: int, n_trials: int) -> Crowd:
    """Let so many processes call `study.optimize`, on a storage opened as Optuna does it."""
    optuna.create_study(study_name="plain", storage=url, direction="maximize")
    each = n_trials // n_workers
    seconds, n_errors = _together(n_workers, lambda number: _optimize(url, each, seed=number))
    trials = _trials(url, "plain")
    n_complete = sum(t.state == TrialState.COMPLETE for t in trials)
    return Crowd(n_workers, n_errors, n_complete, 0, seconds)


def _train(plan: Plan) -> None:
    sessions.open_stack = lambda *_args, **_options: ClockedStack()  # type: ignore[attr-defined]
    for _ in sessions.train(open_session(replace(plan))):
        pass


def _optimize(url: str, n_trials: int, *, seed: int) -> None:
    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("learning_rate", 1e-6, 0.1, log=True)
        score = trial.suggest_float("dropout", 0.0, 0.9) + rate
        trial.suggest_categorical("optimizer", ["adam", "sgd"])
        for epoch in range(1, _EPOCHS + 1):
            trial.report(score, epoch)
        return score

    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.load_study(study_name="plain", storage=url, sampler=sampler)
    study.optimize(objective, n_trials=n_trials)


def _trials(url: str, name: str) -> list[optuna.trial.FrozenTrial]:
    storage = open_storage(url).optuna
    found = optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
    storage.engine.dispose()
    return found


def _together(n_workers: int, work: Callable[[int], None]) -> tuple[float, int]:
    """Return the time until all processes have ended, and how many failed."""
    started = time.monotonic()
    children = [fork(partial(work, number)) for number in range(n_workers)]
    codes = [wait(child) for child in children]
    return time.monotonic() - started, sum(code != 0 for code in codes)
