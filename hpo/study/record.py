"""What a study records of itself: the request it was made for, checked and resolved."""

import hashlib
import importlib.metadata
import json
import platform
from dataclasses import astuple, dataclass
from typing import Any, Final, Literal

from hpo import cores
from hpo import space as spaces
from hpo.errors import UsageError
from hpo.space import Space
from hpo.storage.paths import is_folder_name
from hpo.study.score import Score, read_score

Kind = Literal["grid", "search"]

SAMPLERS: Final = ("tpe", "random")
PRUNERS: Final = ("median", "none")
LIBRARY: Final = "library"
"""What stands for the command of a study that was made in Python."""

# So many for four lanes keep two cores busy 96 % of the time, four 91 %, eight 98 %
# (benchmarks/window.py); the wider it is, the older is what is decided by.
WINDOW: Final = 6
"""The window of a search for which none was asked."""


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """The data of a study, as it is recorded and shown. `path` is None for the phantom.

    Without a validation split of its own (`has_own_validation`), `n_train` and `n_validation` are
    the means over the folds. `notes` and `bits` are those of the data set.
    """

    path: str | None
    name: str
    fingerprint: str
    is_phantom: bool
    has_own_validation: bool
    n_train: int
    n_validation: int
    n_test: int
    notes: tuple[str, ...] = ()
    bits: int = 0

    @property
    def overlap(self) -> float:
        """How far repeats share training images, as `hpo.stats` takes it."""
        return self.n_validation / self.n_train if self.n_train else 0.0


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """Everything that was settled when the study was created.

    `names` are the swept or searched parameters. `sampler` and `pruner` are those of a search, and
    so is `window`: configuration k is decided by what those up to `k - window` came to, so that
    many are under way at most; cores, lanes and memory do not change it. 0 for a grid.
    `is_gpu_named` says that `device` is the one GPU that was asked for, and no other will do.
    """

    kind: Kind
    names: tuple[str, ...]
    space: Space
    data: DataInfo
    device: str
    precision: str
    seed: int
    sampler: str
    pruner: str
    command: str
    versions: dict[str, str]
    metric: str = "accuracy"
    window: int = 0
    is_gpu_named: bool = False

    @property
    def score(self) -> Score:
        """What the study optimizes."""
        return read_score(self.metric)

    @property
    def is_decided_on_the_way(self) -> bool:
        """Whether which trainings are done depends on the scores of others."""
        return self.kind == "search" and (self.sampler, self.pruner) != ("random", "none")

    def identity(self) -> dict[str, Any]:
        """Return what makes it this study: another identity is another study."""
        # Older studies recorded a window that followed from their machine, which named none.
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
        """Return the name that the same command finds again."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        shown = self.names if self.kind == "grid" else ()
        return "-".join([self.kind, *shown])[:80] + f"-{digest}"


@dataclass(frozen=True)
class Goal:
    """How far the study is meant to go; raised by later calls.

    `n_repeats` per configuration; `n_trials` configurations of a search (0 for a grid), whose best
    `n_finalists` get `n_final_repeats` more, and so do the reports' bases `with_baselines`.
    """

    n_repeats: int
    n_trials: int = 0
    n_finalists: int = 0
    n_final_repeats: int = 0
    with_baselines: bool = False

    @property
    def n_trainings(self) -> int:
        """The most trainings that a search comes to; of a grid those of one configuration."""
        n_fresh = self.n_finalists + 5 * self.with_baselines
        return max(1, self.n_trials) * self.n_repeats + n_fresh * self.n_final_repeats

    @property
    def fresh_repeats(self) -> range:
        """The repeats of finalists: after those of the search, so that none serves twice."""
        return range(self.n_repeats, self.n_repeats + self.n_final_repeats)

    def raised(self, other: "Goal") -> "Goal":
        """Return the goal that goes as far as either."""
        return Goal(*map(max, astuple(self), astuple(other)))


def check_name(name: str) -> str:
    """Return the name of a study if it can be one.

    Raises:
        UsageError: it is empty, too long, has other signs than letters, digits, `.`, `_`, `-`, or
            is the name of something else beside the folders of the studies.
    """
    if not is_folder_name(name):
        raise UsageError(
            f"--study takes letters, digits, '.', '_' and '-' (100 at most, not beginning with "
            f"'.' or '-') and no reserved name such as runs, but got {name[:120]!r}: choose "
            "another name."
        )
    return name


def versions() -> dict[str, str]:
    """Return what rounds: the processor, and versions, without importing the libraries."""
    names = {"hpo": "hpo-toolkit", "torch": "torch", "optuna": "optuna", "numpy": "numpy"}
    found = {"python": platform.python_version()}
    for name, distribution in names.items():
        try:
            found[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found | {"processor": cores.processor()}
