"""Studies for tests: on the clocked engine, over a small space."""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path

import optuna

from hpo.config import TrainingConfig
from hpo.run.loop import Event, TrainingLoop, TrialDone
from hpo.run.session import open_source
from hpo.space import Choices, Range, Space, Sweep
from hpo.storage.database import Database
from hpo.storage.opening import open_storage
from hpo.storage.runs import RunStore
from hpo.study import study as studies
from hpo.study.record import DataInfo, Goal, StudyRecord
from hpo.training.engine import Workers
from tests.clocked import ClockedStack

SPACE = Space(
    "small",
    TrainingConfig(epochs=3),
    {
        "batch_size": Sweep(name="batch_size", values=(16, 32, 64)),
        "learning_rate": Sweep(name="learning_rate", values=(1e-3, 10.0)),
    },
    (
        Range(name="learning_rate", low=1e-6, high=1.0, log=True),
        Choices(name="scheduler", choices=("none", "cosine", "step")),
        Range(name="step_size", low=1, high=10, when={"scheduler": "step"}),
    ),
)

DATA = DataInfo(
    path=None,
    name="phantom",
    fingerprint="f" * 32,
    is_phantom=True,
    has_own_validation=False,
    n_train=80,
    n_validation=20,
    n_test=10,
)


def record(kind: str = "grid", *names: str, **changes: object) -> StudyRecord:
    """Return the record of a study over the small space."""
    made = StudyRecord(
        kind="search" if kind == "search" else "grid",
        names=names or ("batch_size",),
        space=SPACE,
        data=DATA,
        device="cpu",
        precision="fp32",
        seed=0,
        sampler="tpe",
        pruner="none",
        command="hpo",
        versions={},
        window=1,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@dataclass
class Bench:
    """A database, a run store, and studies on them that are trained by the clocked engine."""

    folder: Path
    url: str = ""
    news: Callable[[], Workers | None] = lambda: None

    def __post_init__(self) -> None:
        self.url = self.url or f"sqlite:///{self.folder}/hpo.db"
        self.stack = ClockedStack()
        self.runs = RunStore(self.folder / "runs")

    @property
    def storage(self) -> Database:
        return open_storage(self.url)

    def study(self, record: StudyRecord, name: str = "study") -> optuna.Study:
        studies.create(self.storage, name, record)
        found = studies.find(self.storage, name)
        assert found is not None
        return found

    def train(
        self,
        study: optuna.Study,
        goal: Goal,
        *,
        n_lanes: int = 1,
        deadline: float = math.inf,
    ) -> list[TrialDone]:
        """Train a study to its goal, and return how its trials ended."""
        return [e for e in self.events(study, goal, n_lanes, deadline) if isinstance(e, TrialDone)]

    def events(
        self, study: optuna.Study, goal: Goal, n_lanes: int = 1, deadline: float = math.inf
    ) -> Generator[Event, None, None]:
        record = studies.read_record(study)
        goal = studies.raise_goal(study, goal)
        loop = TrainingLoop(
            study,
            record,
            open_source(study, record, goal),
            runs=self.runs,
            weights=self.folder / "weights",
            open_stack=lambda _n_lanes: self.stack,
            n_lanes=n_lanes,
            deadline=deadline,
            news=self.news,
        )
        return loop.events()
