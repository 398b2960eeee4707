"""The studies that are disturbed: how they are asked for, and all that they come to."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import optuna

from hpo.storage.opening import open_storage

ROOT: Final = Path(__file__).parents[2]
GRID: Final = (
    *("grid", "--param", "batch_size", "--values", "16,32,64", "--repeats", "4", "--study", "s"),
)
SEARCH: Final = (
    *("search", "--trials", "16", "--study", "s", "--finalists", "2", "--final-repeats", "2"),
    *("--param", "learning_rate", "--param", "dropout", "--param", "scheduler"),
    *("--metric", "accuracy"),
)


@dataclass(frozen=True)
class Case:
    """A study in a folder of its own, by a command."""

    folder: Path
    data: Path
    command: tuple[str, ...]
    storage: str = ""

    @property
    def url(self) -> str:
        return self.storage or f"sqlite:///{self.folder}/hpo.db"

    def start(self, *, epoch_s: float = 0.01) -> subprocess.Popen[bytes]:
        """Start the command, in a group of its own."""
        small = ("--set", "image_size=16", "--epochs", "6", "--lanes", "4")
        options = ("--data", str(self.data), "--storage", self.url, *small)
        return self.call(*self.command, *options, epoch_s=epoch_s)

    def call(self, *arguments: str, epoch_s: float = 0.01) -> subprocess.Popen[bytes]:
        """Start any command on the engine that trains nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            "CHAOS_EPOCH_S": str(epoch_s),
            "HPO_RUNS": str(self.folder / "runs"),
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.command", *arguments],
            env=environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def finish(self) -> None:
        """Run the command to its end.

        Raises:
            AssertionError: it failed.
        """
        child = self.start(epoch_s=0.0)
        _, said = child.communicate()
        assert child.returncode == 0, said.decode()

    def runs(self) -> dict[str, str]:
        """Return what the run store holds, by name."""
        return {path.name: path.read_text() for path in (self.folder / "runs").glob("*.json")}

    def inodes(self) -> dict[str, int]:
        """Return which files of the run store are there; one that is written anew is another."""
        return {p.name: p.stat().st_ino for p in (self.folder / "runs").glob("*.json")}

    def described(self) -> dict[str, Any]:
        """Return all that the study came to, but for times and for who trained what."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = open_storage(self.url, create=False)
        study = optuna.load_study(study_name="s", storage=storage)
        storage.engine.dispose()
        trials = study.get_trials(deepcopy=False)
        by_place = {_place(trial): _told(trial) for trial in trials}
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


def _told(trial: optuna.trial.FrozenTrial) -> object:
    names = ("config", "seed", "fold", "run", "metrics", "n_epochs", "reason")
    attributes = {name: trial.user_attrs.get(name) for name in names}
    attributes["n_artifacts"] = sum(name.startswith("artifacts:") for name in trial.system_attrs)
    told = (trial.params, trial.state.name, trial.value, trial.intermediate_values, attributes)
    return json.loads(json.dumps(told))
