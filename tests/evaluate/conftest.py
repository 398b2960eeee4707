"""Finished studies on real files, whose models give chosen predictions."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from hpo.data.dataset import TEST, Dataset, seal
from hpo.data.source import open_data
from hpo.evaluate.records import Evaluation
from hpo.evaluate.test import open_test
from hpo.storage.database import Database
from hpo.storage.opening import open_storage
from hpo.storage.runs import RunKey, RunStore
from hpo.study import study as studies
from hpo.study.record import DataInfo, Goal
from hpo.training.engine import Epoch, Run
from tests.clocked_studies import SPACE, record

Answer = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def good(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Predict well, but not perfectly: an AUROC of about 0.95."""
    return np.clip(0.25 + 0.5 * labels + 0.2 * rng.standard_normal(len(labels)), 0.01, 0.99)


def guess(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Predict at random."""
    return rng.uniform(0, 1, len(labels))


@dataclass
class Finished:
    """A finished grid over the batch size, or a search, on the data of a folder."""

    folder: Path
    data: Path
    kind: str = "grid"
    n_repeats: int = 3
    values: dict[float, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dataset: Dataset = open_data(self.data)
        self.sealed = seal(self.dataset)
        info = DataInfo(
            path=str(self.data),
            name="xrays",
            fingerprint=self.dataset.fingerprint,
            is_phantom=False,
            has_own_validation=False,
            n_train=self.sealed.n_pool * 4 // 5,
            n_validation=self.sealed.n_pool // 5,
            n_test=self.sealed.n_test,
        )
        names = ("batch_size",) if self.kind == "grid" else ("learning_rate",)
        self.record = replace(record(self.kind, *names), data=info)
        self.storage: Database = open_storage(f"sqlite:///{self.folder}/hpo.db")
        self.runs = RunStore(self.folder / "runs")
        self.study: optuna.Study = studies.create(self.storage, "study", self.record)
        studies.raise_goal(self.study, Goal(self.n_repeats, 3))

    def add(
        self, value: float, repeat: int, test: Answer = good, validation: Answer = good
    ) -> str:
        """Add a complete trial with these predictions, and return the name of its run."""
        rng = np.random.default_rng(1000 * repeat + int(value) % 997)
        labels = self.sealed.labels[self.sealed.fold(repeat).validation]
        on_validation = validation(labels, rng)
        on_test = test(self.dataset.labels[self.dataset.where(TEST)], rng)
        accuracy = float(((on_validation > 0.5) == labels).mean())
        name = self.record.names[0]
        config = SPACE.base.replace(**{name: value})
        key = RunKey(
            config=config,
            seed=repeat,
            fold=repeat,
            fingerprint=self.dataset.fingerprint,
            device_type="cpu",
            precision="fp32",
        )
        self.runs.save(key, _run(accuracy, on_validation, on_test))
        attributes = {
            "ordinal": self.values.setdefault(value, len(self.values)),
            "params": {name: value},
            "config": config.to_mapping(),
            "repeat": repeat,
            "seed": repeat,
            "fold": repeat,
            "run": key.digest(),
        }
        self.study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=accuracy,
                params={name: value},
                distributions={name: FloatDistribution(0, 1e6)},
                user_attrs=attributes,
            )
        )
        return key.digest()

    def open(self, **asked: object) -> Evaluation:
        """Evaluate on the test set."""
        return open_test(self.study, **asked)  # type: ignore[arg-type]


def _run(accuracy: float, validation: np.ndarray, test: np.ndarray) -> Run:
    measured = {"loss": 1 - accuracy, "accuracy": accuracy}
    return Run(
        epochs=(Epoch(learning_rate=1e-3, train=measured, validation=measured),),
        kept_epoch=1,
        train=measured,
        validation_probabilities=tuple(map(float, validation)),
        test_probabilities=tuple(map(float, test)),
        seconds=1.0,
        versions={},
    )


@pytest.fixture
def finished(tmp_path: Path, xrays: Path) -> Finished:
    """A grid without trials."""
    return Finished(tmp_path, xrays)


@pytest.fixture
def grid(finished: Finished) -> Finished:
    """A grid of two batch sizes with three good repeats each."""
    for value in (16, 32):
        for repeat in range(3):
            finished.add(value, repeat)
    return finished
