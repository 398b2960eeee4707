"""The studies that are killed: their commands and their results."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import optuna

from hpo.run import session
from hpo.storage.opening import open_storage
from hpo.training.engine import LaneEpoch
from tests.clocked import ClockedStack
from tests.processes import Child, Command, start

GRID: Final = (
    *("grid", "--param", "batch_size", "--values", "16,32,64", "--repeats", "4", "--study", "s"),
)
SEARCH: Final = (
    *("search", "--trials", "16", "--study", "s", "--finalists", "2", "--final-repeats", "2"),
    *("--param", "learning_rate", "--param", "dropout", "--param", "scheduler"),
    *("--metric", "accuracy"),
)


@dataclass
class SlowStack(ClockedStack):
    """A stack that trains nothing and sleeps in each step after the first `n_quick`."""

    epoch_s: float = 0.0
    n_quick: int = 0
    n_validation: int = 16

    def step(self) -> list[LaneEpoch]:
        if self.n_steps >= self.n_quick:
            time.sleep(self.epoch_s)
        return super().step()


@dataclass(frozen=True)
class TrainsNothing:
    """A process with its own run store, whose engine trains nothing."""

    runs: Path
    epoch_s: float
    n_quick: int

    def __call__(self) -> None:
        os.environ["HPO_RUNS"] = str(self.runs)
        session.open_stack = lambda *_, **__: SlowStack(epoch_s=self.epoch_s, n_quick=self.n_quick)  # type: ignore[assignment]


@dataclass(frozen=True)
class Case:
    """A study in its own folder, made by a command."""

    folder: Path
    data: Path
    command: tuple[str, ...]
    storage: str = ""

    @property
    def url(self) -> str:
        return self.storage or f"sqlite:///{self.folder}/hpo.db"

    def start(
        self,
        *,
        epoch_s: float = 0.01,
        n_quick: int = 0,
        ignored: tuple[signal.Signals, ...] = (),
    ) -> Child:
        """Start the command in its own process, on an engine that trains nothing."""
        small = ("--set", "image_size=16", "--epochs", "6", "--lanes", "4")
        words = (*self.command, "--data", str(self.data), "--storage", self.url, *small)
        engine = TrainsNothing(self.folder / "runs", epoch_s, n_quick)
        return start(self.folder, Command(words, engine), ignored=ignored)

    def finish(self) -> None:
        """Run the command to its end.

        Raises:
            AssertionError: it failed.
        """
        answer = self.start(epoch_s=0.0).answer()
        assert answer.code == 0, answer.err

    def runs(self) -> dict[str, str]:
        """Return what the run store holds, by name."""
        return {path.name: path.read_text() for path in (self.folder / "runs").glob("*.json")}

    def inodes(self) -> dict[str, int]:
        """Return the inode of each file in the run store; a rewritten file has a new one."""
        return {p.name: p.stat().st_ino for p in (self.folder / "runs").glob("*.json")}

    def described(self) -> dict[str, Any]:
        """Return the results of the study, without times and processes."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = open_storage(self.url, create=False)
        study = optuna.load_study(study_name="s", storage=storage)
        storage.engine.dispose()
        trials = study.get_trials(deepcopy=False)
        by_place = {_place(trial): _result(trial) for trial in trials}
        weights = {path.name for path in (self.folder / "s" / "weights").glob("[!.]*")}
        return {
            "trials": dict(sorted(by_place.items())),
            "n_double": len(trials) - len(by_place),
            "n_open": sum(not trial.state.is_finished() for trial in trials),
            "runs": self.runs(),
            "weights": sorted(weights),
            "baselines": study.user_attrs.get("baselines"),
        }


def _place(trial: optuna.trial.FrozenTrial) -> str:
    attributes = trial.user_attrs
    return f"{attributes['ordinal']:03d}/{attributes['repeat']}"


def _result(trial: optuna.trial.FrozenTrial) -> object:
    names = ("config", "seed", "fold", "run", "metrics", "n_epochs", "reason")
    attributes = {name: trial.user_attrs.get(name) for name in names}
    found = (trial.params, trial.state.name, trial.value, trial.intermediate_values, attributes)
    return json.loads(json.dumps(found))
