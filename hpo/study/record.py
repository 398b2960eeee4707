"""The record of a study: its request, checked and resolved."""

import hashlib
import json
import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import Field, PlainValidator, TypeAdapter

from hpo import space as spaces
from hpo.choices import Pruner, Sampler, ScoredWeights
from hpo.data.dataset import CLASS_NAMES, N_FOLDS, TEST, VALIDATION, Dataset, count_classes
from hpo.data.manifest import NO_MANIFEST, Manifest
from hpo.errors import UsageError
from hpo.space import Choices, Space
from hpo.storage import MOST_TRIALS
from hpo.storage.paths import is_folder_name
from hpo.study.score import Score, metric_note, read_score
from hpo.training.engine import mean_metrics

Kind = Literal["grid", "search"]
Count: TypeAlias = Annotated[int, Field(ge=0, le=1_000_000)]

SAMPLERS: Final = get_args(Sampler)
PRUNERS: Final = get_args(Pruner)

LIBRARY: Final = "library"
"""The command recorded for a study created from Python."""

FORMAT: Final = 2

# For four lanes, six keep two cores busy 96 % of the time, four 91 %, eight 98 %
# (benchmarks/window.py); a wider window uses older results.
WINDOW: Final = 6
"""The default window of a search."""


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """The data of a study, as recorded and shown. `path` is None for the phantom.

    Without `has_own_validation`, `n_train` and `n_validation` are the means over the folds.
    `notes` and `bits` are those of the data set; `classes` counts the images of each class that
    are not test (missing in older studies). `manifest` holds the description given on the command
    line. `n_named_folds` counts the folds that the source names, which are always the same.
    `patients_by` describes what identifies all patients; it is empty if they are unknown, and None
    in older studies.
    """

    path: str | None
    name: str
    fingerprint: str
    is_phantom: bool
    has_own_validation: bool
    n_train: Count
    n_validation: Count
    n_test: Count
    notes: tuple[str, ...] = ()
    bits: Count = 0
    classes: Mapping[str, Count] = field(default_factory=dict)
    manifest: Manifest = NO_MANIFEST
    patients_by: str | None = None
    n_named_folds: Count = 0

    @property
    def n_folds(self) -> int:
        """The number of folds that together validate on every image."""
        return 1 if self.has_own_validation else self.n_named_folds or N_FOLDS

    @property
    def makeup(self) -> str:
        """A sentence on classes, patients and image depth, as far as recorded."""
        if not self.classes:
            return ""
        counts = ", ".join(f"{n:,} {name}" for name, n in self.classes.items())
        if self.patients_by is None:
            return f"Outside the test: {counts}."
        patients = f"identified by {self.patients_by}" if self.patients_by else "unknown"
        return f"Outside the test: {counts}. Patients: {patients}. Depth: {self.bits or 8} bits."

    @property
    def title(self) -> str:
        """The name of the data, marked if synthetic."""
        return f"{self.name} (synthetic)" if self.is_phantom else self.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their labels."""
        return tuple(self.classes) or CLASS_NAMES

    @property
    def overlap(self) -> float:
        """How far repeats share training images, as used by `hpo.stats`."""
        return self.n_validation / self.n_train if self.n_train else 0.0


def describe_data(
    dataset: Dataset, path: Path | str | None, manifest: Manifest = NO_MANIFEST
) -> DataInfo:
    """Describe data as a study records them, with an absolute path.

    Without their own validation split, each fold is used for validation in turn.
    """
    n_pool = len(dataset) - len(dataset.where(TEST))
    own = len(dataset.where(VALIDATION))
    n_validation = own or round(n_pool / dataset.n_folds)
    return DataInfo(
        path=None if path is None else str(Path(path).expanduser().resolve()),
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        is_phantom=dataset.is_phantom,
        has_own_validation=bool(own),
        n_train=n_pool - n_validation,
        n_validation=n_validation,
        n_test=len(dataset.where(TEST)),
        notes=dataset.notes,
        bits=dataset.bits,
        classes=count_classes(dataset.class_names, dataset.labels[dataset.split != TEST]),
        manifest=manifest,
        patients_by=dataset.patients_by if dataset.has_patients else "",
        n_named_folds=0 if own or dataset.folds is None else dataset.n_folds,
    )


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """Everything that is fixed when a study is created.

    `names` are the swept or searched parameters. `sampler`, `pruner` and `window` belong to
    searches: configuration k depends on the results of those up to `k - window`, and not on
    cores, lanes and memory; the window of a grid is 0. `is_gpu_named` is true if the user
    requested the GPU `device`, so that no other is used. `margin` is the smallest difference in
    the score that matters, in points or plain as scores are printed; None for the default of the
    metric. `weights` are those whose scores are compared; None for those that each training
    scores. `require` holds the lowest validation metrics of a winner, as shares. `model` is the
    file of a custom model when the study was created: it is shown and never run.
    """

    kind: Kind
    names: Annotated[tuple[str, ...], Field(min_length=1)]
    space: Annotated[Space, PlainValidator(spaces.from_document)]
    data: DataInfo
    device: str
    precision: str
    seed: Count
    sampler: Annotated[str, Field(pattern=f"^({'|'.join(SAMPLERS)}|grid)$")]
    pruner: Annotated[str, Field(pattern=f"^({'|'.join(PRUNERS)})$")]
    command: str
    versions: dict[str, str]
    metric: str = "accuracy"
    window: Count = 0
    is_gpu_named: bool = False
    margin: float | None = None
    weights: ScoredWeights | None = None
    model: str | None = None
    require: dict[str, Annotated[float, Field(ge=0, le=1)]] = field(default_factory=dict)

    @property
    def has_weights(self) -> bool:
        """Whether it trains networks; estimators of scikit-learn have no weights."""
        model = self.space.base.model
        return model is None or model.kind == "network"

    @property
    def varied(self) -> tuple[str, ...]:
        """The names without those for which a search has a single choice."""
        single = {
            p.name for p in self.space.search if isinstance(p, Choices) and len(p.labels) < 2
        }
        return tuple(name for name in self.names if self.kind == "grid" or name not in single)

    @property
    def noun(self) -> str:
        """What sentences call the trained models."""
        return "network" if self.has_weights else "model"

    @property
    def model_option(self) -> str:
        """The option that names its custom model, with a space before it; "" without one."""
        if (custom := self.space.base.model) is None:
            return ""
        return f" --model {shlex.quote(self.model or 'FILE.py:' + custom.entry.partition(':')[2])}"

    @classmethod
    def from_document(cls, document: Any) -> "StudyRecord":
        """Read a record from plain data; a database can be tampered with.

        Raises:
            ValueError: a field is missing, or its value is invalid.
            SpaceError: the space is invalid.
        """
        if isinstance(document, dict) and isinstance(document.get("data"), dict):
            # Older studies have no record of bits, and used all 16.
            document = document | {"data": {"bits": 16} | document["data"]}
        record = _RECORD.validate_json(json.dumps(document), strict=True)
        space, _ = record.space, record.score  # This checks metric and margin.
        allowed = space.sweeps.keys() if record.kind == "grid" else {p.name for p in space.search}
        if not allowed >= set(record.names):
            raise ValueError("names are not those of its space")
        return record

    def to_document(self) -> dict[str, Any]:
        """Return the record as plain data."""
        data = asdict(self.data) | {"notes": list(self.data.notes)}
        data["manifest"] = self.data.manifest.model_dump(mode="json", exclude_defaults=True)
        return vars(self) | {
            "format": FORMAT,
            "fingerprint": self.data.fingerprint,
            "names": list(self.names),
            "space": spaces.to_document(self.space),
            "data": data,
        }

    @property
    def score(self) -> Score:
        """What the study optimizes."""
        score = read_score(self.metric)
        return score if self.margin is None else score.with_margin(self.margin)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the data: what was left out or assumed, and consequences of the classes."""
        about_metric = metric_note(self.metric, self.data.classes)
        return (*self.data.notes, *filter(None, [about_metric]))

    def judged_by(
        self,
        margin: float | None = None,
        weights: ScoredWeights | None = None,
        require: Mapping[str, float] | None = None,
    ) -> "StudyRecord":
        """Return the record with another margin, weights or requirement; None changes nothing.

        Raises:
            UsageError: the margin is not above 0, or too large.
        """
        if margin is not None:
            read_score(self.metric).with_margin(margin)
        return replace(
            self,
            margin=self.margin if margin is None else margin,
            weights=weights or self.weights,
            require={n: x for n, x in (self.require | dict(require or {})).items() if x},
        )

    def measured(self, repeats: Iterable[Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
        """Return the mean of the required metrics over repeats, under stress if the score is.

        Each repeat is its metrics by split; missing ones are nan.
        """
        if not self.require:
            return {}
        split = "stress" if self.score.is_stressed else "validation"
        means = mean_metrics(repeat.get(split, {}) for repeat in repeats)
        return {name: means.get(name, math.nan) for name in self.require}

    def shortfall(self, repeats: Iterable[Mapping[str, Mapping[str, float]]]) -> float:
        """Return by how much repeats miss the requirements; 0 if they meet them."""
        gaps = (self.require[name] - value for name, value in self.measured(repeats).items())
        return sum(math.inf if math.isnan(gap) else max(0.0, gap) for gap in gaps)

    @property
    def required(self) -> str:
        """The requirements in words: `at least 95 % sensitivity under stress`."""
        parts = [f"{100 * least:g}\u00a0% {name}" for name, least in self.require.items()]
        return f"at least {' and '.join(parts)}" + " under stress" * self.score.is_stressed

    def identity(self) -> dict[str, Any]:
        """Return everything that defines the study: another identity is another study."""
        # Older studies have no window in their names, as it depended on the machine.
        window = {} if self.window in (0, WINDOW) else {"window": self.window}
        return window | {
            "kind": self.kind,
            "names": list(self.names),
            "space": spaces.to_document(self.space),
            "fingerprint": self.data.fingerprint,
            "seed": self.seed,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "metric": self.metric,
        }

    def default_name(self) -> str:
        """Return a name that depends only on the identity, so that the same command finds it."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        shown = self.names if self.kind == "grid" else ()
        return "-".join([self.kind, *shown])[:80] + f"-{digest}"


LOOK_EVERY: Final = 5
"""The number of repeats after which `--until-decided` compares the values of a grid again."""


@dataclass(frozen=True)
class Goal:
    """The goal of a study, which later calls can raise.

    `n_repeats` per configuration; `n_trials` configurations of a search (0 for a grid), of which
    the best `n_finalists` get `n_final_repeats` more, as do the course networks `with_baselines`.
    With `most_repeats`, a grid gets repeats until every pair of values is decided, up to that
    number. A search ends after `patience` configurations without an improvement (0: never).
    """

    n_repeats: Annotated[Count, Field(ge=1)] = 1
    n_trials: Count = 0
    n_finalists: Count = 0
    n_final_repeats: Count = 0
    with_baselines: bool = False
    most_repeats: Count = 0
    patience: Count = 0

    @property
    def n_looks(self) -> int:
        """The most comparisons of the values of a grid before it is decided."""
        return max(1, -(-self.most_repeats // LOOK_EVERY))

    @classmethod
    def from_document(cls, document: object) -> "Goal":
        """Read a goal from plain data; missing fields have the lowest value.

        Raises:
            ValueError: a value is invalid, or the goal is larger than a study may be.
        """
        goal = _GOAL.validate_json(json.dumps(document), strict=True)
        if goal.n_trainings > MOST_TRIALS:
            raise ValueError(f"{goal.n_trainings:,} trainings are more than {MOST_TRIALS:,}")
        return goal

    @property
    def n_trainings(self) -> int:
        """The largest number of trainings of a search; for a grid those of one configuration."""
        n_fresh = self.n_finalists + 5 * self.with_baselines
        return max(1, self.n_trials) * self.n_repeats + n_fresh * self.n_final_repeats

    @property
    def fresh_repeats(self) -> range:
        """The repeats of finalists, which follow those of the search so that none is reused."""
        return range(self.n_repeats, self.n_repeats + self.n_final_repeats)

    def raised(self, other: "Goal") -> "Goal":
        """Return the goal that includes both."""
        return Goal(*map(max, astuple(self), astuple(other)))


_RECORD: Final = TypeAdapter(StudyRecord)
_GOAL: Final = TypeAdapter(Goal)


def check_name(name: str) -> str:
    """Return the name of a study if it is valid.

    Raises:
        UsageError: it is not a valid folder name, or is reserved.
    """
    # Commands take numbers and `latest` in place of a name.
    if not is_folder_name(name) or name == "latest" or name.isdecimal():
        raise UsageError(
            f"--study takes letters, digits, '.', '_' and '-' (at most 100, not starting with "
            f"'.' or '-') and no reserved name such as runs, latest or a number, but got "
            f"{name[:120]!r}. Choose another name."
        )
    return name
