"""Every figure of RESULTS.md as data: RESULTS.json, from which it can be written again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from hpo.errors import UsageError, first_fault
from hpo.stats import Interval, PairComparison
from studies.results.claims import Outcome
from studies.results.reports import SWEEPS, Sweep

Weights = Literal["average", "last"]
Answer = Literal["matters", "does not matter", "undecided"]

WEIGHTS: Final[Mapping[Weights, str]] = {"average": "averaged weights", "last": "last weights"}
"""What the kinds are called; of several the first decides."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one kind of weights says of a sweep, with the mean of each value that was compared."""

    headline: str | None
    pairs: tuple[PairComparison, ...]
    means: Mapping[str, Interval]
    basis: str

    @property
    def answer(self) -> Answer:
        """Whether the hyperparameter matters."""
        answers = {pair.answer for pair in self.pairs}
        if "better" in answers:
            return "matters"
        return "does not matter" if answers == {"same"} else "undecided"


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value of a sweep; two sweeps share a configuration where its `identity` is the same.

    `score` and `scores`, one per repeat, are validation accuracies; `failures` says what failed.
    `test` and `gap` are empty while the test is sealed, else intervals by metric.
    """

    label: str
    identity: str
    score: Interval | None
    scores: tuple[float, ...]
    n_failed: int
    failures: str
    test: Mapping[str, Interval]
    gap: Mapping[str, Interval]
    notes: tuple[str, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What became of a claim, with the grounds."""

    text: str
    outcome: Outcome
    grounds: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The learning curves as a table, what is said of them, the largest differences by measure."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    said: tuple[str, ...]
    largest: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A sweep with everything that is known of it; `seconds` is what its trainings took."""

    key: str
    n_repeats: int
    seconds: float
    values: tuple[Value, ...]
    verdicts: Mapping[Weights, Verdict]
    test_pairs: tuple[PairComparison, ...]
    claims: tuple[Checked, ...]
    curves: Curves | None
    baselines: Mapping[str, float]

    @property
    def sweep(self) -> Sweep:
        """What the report says of it."""
        return next(sweep for sweep in SWEEPS if sweep.key == self.key)

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that decides: that of the averaged weights, where there is one."""
        return next((self.verdicts[w] for w in WEIGHTS if w in self.verdicts), None)

    @property
    def n_failed(self) -> int:
        """The number of trainings that failed."""
        return sum(value.n_failed for value in self.values)


@dataclass(frozen=True, kw_only=True)
class Search:
    """The default search, by the score `title`: a row of cells per model, and sentences."""

    command: str
    title: str
    n_configurations: int
    rows: tuple[tuple[str, ...], ...]
    said: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All of it, and what it was made with."""

    data: str
    is_phantom: bool
    images: str
    fingerprint: str
    devices: tuple[str, ...]
    versions: Mapping[str, tuple[str, ...]]
    numerics: int
    results: tuple[Result, ...]
    search: Search | None


_FIGURES: Final = TypeAdapter(Figures)


def to_json(figures: Figures) -> bytes:
    """Return the figures as a JSON document."""
    return _FIGURES.dump_json(figures, indent=1) + b"\n"


def read_figures(path: Path) -> Figures:
    """Read what `to_json` wrote.

    Raises:
        UsageError: it is not there, or is not such a document.
    """
    try:
        return _FIGURES.validate_json(path.read_bytes())
    except OSError:
        raise UsageError(
            f"There are no figures in {path} yet. Say where the X-rays are: --data PATH, or make "
            "results DATA=PATH."
        ) from None
    except ValidationError as error:
        raise UsageError(f"{path} cannot be read: {first_fault(error)}") from None
