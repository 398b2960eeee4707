"""Studies in memory with invented scores, as the commands would have left them."""

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo import space as spaces
from hpo.config import Scalar, TrainingConfig
from hpo.space import read_space
from hpo.storage.runs import RunStore
from hpo.study.gathering import summarize
from hpo.study.progress import finalist_jobs
from hpo.study.record import DataInfo, Goal, StudyRecord
from hpo.study.score import Score
from hpo.study.study import check_fits, raise_goal
from hpo.study.summary import StudySummary
from hpo.study.trials import Job, distributions, run_key
from hpo.training.engine import Epoch, Run

PAYLOAD: Final = (
    '"><script>document.body.dataset.hacked=1</script>'
    '<img src=x onerror="document.body.dataset.hacked=1">'
)
SPACE: Final[dict[str, Any]] = {
    "base": {"epochs": 12},
    "sweep": {
        "batch_size": [32, 64, 128],
        "learning_rate": [0.1, 0.01, 0.001],
        "hidden": [[64], [64, 64, 64], [512, 256, 256]],
    },
    "search": {
        "learning_rate": {"low": 1e-6, "high": 1e-1, "log": True},
        "dropout": {"low": 0.0, "high": 0.9},
        "layers": {"low": 1, "high": 3},
        "width": {"choices": [32, 64, 128]},
        "optimizer": {"choices": ["adam", "sgd"]},
        "momentum": {"low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
        "scheduler": {"choices": ["none", "step"]},
        "step_size": {"low": 1, "high": 30, "when": {"scheduler": "step"}},
    },
}
# The accuracy lost to each change of the stress battery, and the epochs between readings.
CHANGES: Final = {"shifted": 0.01, "noisy": 0.12, "blurred": 0.05}
STRESS_EVERY: Final = 4
DATA: Final = DataInfo(
    path="data/chest_xray",
    name="chest_xray",
    fingerprint="0123456789abcdef",
    is_phantom=False,
    has_own_validation=False,
    n_train=1600,
    n_validation=400,
    n_test=400,
)
PHANTOM: Final = DataInfo(
    path=None,
    name="phantom",
    fingerprint="fedcba9876543210",
    is_phantom=True,
    has_own_validation=False,
    n_train=480,
    n_validation=120,
    n_test=120,
)


@dataclass
class FakeStudy:
    """A study that is filled trial by trial."""

    record: StudyRecord
    runs: RunStore
    goal: Goal = field(default_factory=lambda: Goal(1))
    name: str = "fake"
    ordinals: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        direction = self.record.score.kind.direction
        self.study = optuna.create_study(study_name=self.name, direction=direction)
        begin(self.study, self.record, self.goal)

    @property
    def summary(self) -> StudySummary:
        return summarize(self.study)

    def ask(
        self,
        params: Mapping[str, Scalar],
        config: TrainingConfig,
        repeat: int,
        *,
        report: str = "",
    ) -> Job:
        """Return a repeat of a configuration, which may be a new one."""
        return Job(
            ordinal=self.ordinals.setdefault(config.identity(), len(self.ordinals)),
            params=params,
            config=config,
            repeat=repeat,
            seed=repeat,
            fold=repeat,
            report=report,
        )

    def complete(self, job: Job, curve: list[float], *, has_run: bool = True) -> None:
        """Add a trial with these accuracies, and scores to match."""
        if has_run:
            self.runs.save(run_key(self.record, job), fake_run(curve, self.record.score))
        made = fake_trial(self.record, job, curve, TrialState.COMPLETE, has_run=has_run)
        self.study.add_trial(made)

    def prune(self, job: Job, curve: list[float]) -> None:
        self.study.add_trial(fake_trial(self.record, job, curve, TrialState.PRUNED))

    def fail(self, job: Job, reason: str) -> None:
        self.study.add_trial(fake_trial(self.record, job, [], TrialState.FAIL, reason=reason))


def begin(study: optuna.Study, record: StudyRecord, goal: Goal) -> None:
    """Write the record, the goal and the baselines of a study."""
    check_fits(study, record)
    raise_goal(study, goal)
    found = {"majority class": {"accuracy": 0.734}, "logistic regression": {"accuracy": 0.921}}
    study.set_user_attr("baselines", found)


def fake_trial(
    record: StudyRecord,
    job: Job,
    curve: list[float],
    state: TrialState,
    *,
    reason: str = "",
    has_run: bool = True,
) -> FrozenTrial:
    """Return a trial as it would have ended with these accuracies by epoch."""
    score, attributes, value = record.score, job.to_attributes(), None
    if state == TrialState.COMPLETE:
        run = fake_run(curve, score)
        value = score.of(run.kept.validation, run.stress)
        attributes |= {"seconds": run.seconds, "n_epochs": len(curve)}
        attributes["metrics"] = {"train": run.train, "validation": run.kept.validation}
        if score.is_stressed:
            attributes["metrics"]["stress"] = _mean_stress(curve[-1])
        if has_run:
            attributes["run"] = run_key(record, job).digest()
    elif state == TrialState.FAIL:
        attributes["reason"] = reason
    return create_trial(
        state=state,
        value=value,
        params=dict(job.params),
        distributions=distributions(record, job.params),
        user_attrs=attributes,
        intermediate_values={
            epoch: score.of(metrics_of(accuracy), stress_of(accuracy))
            for epoch, accuracy in enumerate(curve, start=1)
            if epoch % STRESS_EVERY == 0 or not score.is_stressed
        },
    )


def fake_record(
    kind: str, names: Iterable[str], data: DataInfo = DATA, *, metric: str = "accuracy"
) -> StudyRecord:
    names = tuple(names)
    options = " ".join(f"--param {name}" for name in names) if kind == "grid" else "--trials 30"
    return StudyRecord(
        kind="grid" if kind == "grid" else "search",
        names=names,
        space=read_space(SPACE, name="fake", source="fake"),
        data=data,
        device="cpu",
        precision="bf16",
        seed=0,
        sampler="tpe",
        pruner="median",
        command=f"hpo {kind} {options} --data data/chest_xray",
        versions={"hpo": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "optuna": "5.0.0"},
        metric=metric,
    )


def fake_grid(
    folder: Path,
    names: Iterable[str],
    *,
    n_repeats: int = 5,
    data: DataInfo = DATA,
    metric: str = "accuracy",
) -> FakeStudy:
    """Return a finished grid; its first configuration is the worst, its last overfits least."""
    record = fake_record("grid", names, data, metric=metric)
    fake = FakeStudy(record, RunStore(folder), Goal(n_repeats))
    chance = random.Random(1)
    for number, cell in enumerate(spaces.cells(fake.record.space, fake.record.names)):
        for repeat in range(n_repeats):
            trial = fake.ask(cell.params, cell.config, repeat)
            top = 0.94 + 0.02 * (1 - 0.8**number) + chance.gauss(0, 0.004)
            fake.complete(trial, rising_curve(top, 12, chance))
    return fake


def fake_search(
    folder: Path, n_configurations: int = 30, *, metric: str = "accuracy"
) -> FakeStudy:
    """Return a search with pruned and failed trials, whose scores depend on the learning rate."""
    space = read_space(SPACE, name="fake", source="fake")
    names = [parameter.name for parameter in space.search]
    record = fake_record("search", names, metric=metric)
    fake = FakeStudy(record, RunStore(folder), Goal(1, n_configurations), name="search-1")
    chance, noise = random.Random(2), random.Random(3)
    base = spaces.complete(space, {})
    assert base is not None
    for number in range(n_configurations):
        params = base.params if number == 0 else _draw(chance)
        config = spaces.resolve(space, params)
        distance = abs(math.log10(float(params["learning_rate"])) + 3)
        top = max(0.5, 0.96 - 0.05 * distance - 0.02 * float(params["dropout"]))
        trial = fake.ask(params, config, 0)
        if number % 9 == 5:
            fake.fail(trial, "its loss was not finite in epoch 3.")
        elif distance > 2 and number % 2:
            fake.prune(trial, rising_curve(top, 4, noise))
        else:
            fake.complete(trial, rising_curve(top, 12, noise))
    return fake


def add_finalists(fake: FakeStudy, *tops: float, n_repeats: int = 4) -> FakeStudy:
    """Retrain the best, to about these accuracies in the order of the search."""
    goal = Goal(fake.goal.n_repeats, fake.goal.n_trials, len(tops), n_repeats)
    raise_goal(fake.study, goal)
    chance = random.Random(4)
    jobs = finalist_jobs(fake.study.get_trials(deepcopy=False), fake.record, goal)
    for number, job in enumerate(jobs):
        curve = rising_curve(tops[number // n_repeats], 12, chance)
        fake.complete(fake.ask(job.params, job.config, job.repeat), curve)
    return fake


def metrics_of(accuracy: float) -> dict[str, float]:
    """Return every metric of a model with this accuracy; losses are lower for better models."""
    return {
        "loss": 1.15 - accuracy,
        "accuracy": accuracy,
        "balanced_accuracy": accuracy - 0.01,
        "auroc": (1 + accuracy) / 2,
        "log_loss": 1.15 - accuracy,
        "brier": (1.15 - accuracy) / 3,
    }


def stress_of(accuracy: float) -> dict[str, dict[str, float]]:
    return {change: metrics_of(accuracy - loss) for change, loss in CHANGES.items()}


def hostile(summary: StudySummary) -> StudySummary:
    """Return the summary with markup in all untrusted texts."""
    record = summary.record
    data = replace(record.data, name=PAYLOAD, path=PAYLOAD, fingerprint=PAYLOAD)
    record = replace(
        record,
        data=data,
        command=PAYLOAD,
        device=PAYLOAD,
        precision=PAYLOAD,
        versions={PAYLOAD: PAYLOAD},
    )
    return replace(
        summary,
        name=PAYLOAD,
        url=PAYLOAD,
        record=record,
        baselines={PAYLOAD: {"accuracy": 0.94}, "majority class": {"accuracy": 0.73}},
        configurations=tuple(
            replace(c, params={"batch_size": PAYLOAD + str(i)})
            for i, c in enumerate(summary.configurations)
        ),
    )


def rising_curve(top: float, n_epochs: int, chance: random.Random) -> list[float]:
    return [
        round(top - 0.25 * math.exp(-0.5 * epoch) + chance.gauss(0, 0.004), 4)
        for epoch in range(1, n_epochs + 1)
    ]


def _draw(chance: random.Random) -> dict[str, Scalar]:
    params: dict[str, Scalar] = {
        "learning_rate": 10 ** chance.uniform(-6, -1),
        "dropout": chance.uniform(0, 0.9),
        "layers": chance.randint(1, 3),
        "width": chance.choice([32, 64, 128]),
        "optimizer": chance.choice(["adam", "sgd"]),
        "scheduler": chance.choice(["none", "step"]),
    }
    if params["optimizer"] == "sgd":
        params["momentum"] = chance.uniform(0, 0.99)
    if params["scheduler"] == "step":
        params["step_size"] = chance.randint(1, 30)
    return params


def fake_run(curve: list[float], score: Score) -> Run:
    epochs = tuple(
        Epoch(
            learning_rate=1e-3,
            train={"loss": 1.1 - accuracy + 0.3 / epoch, "accuracy": accuracy + 0.01},
            validation=metrics_of(accuracy),
            stress=_mean_stress(accuracy)
            if score.is_stressed and epoch % STRESS_EVERY == 0
            else {},
        )
        for epoch, accuracy in enumerate(curve, start=1)
    )
    last = curve[-1]
    return Run(
        epochs=epochs,
        kept_epoch=len(epochs),
        train={"loss": 1.1 - last, "log_loss": 1.1 - last, "accuracy": last + 0.02},
        validation_probabilities=(0.5,),
        test_probabilities=(),
        seconds=0.8 * len(curve),
        versions={},
        stress=stress_of(last) if score.is_stressed else {},
    )


def _mean_stress(accuracy: float) -> dict[str, float]:
    by_change = list(stress_of(accuracy).values())
    return {name: fmean(metrics[name] for metrics in by_change) for name in by_change[0]}
