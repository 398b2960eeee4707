"""The records of a space: what is swept, what is searched, around which configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from hpo.config import Scalar, TrainingConfig, Value, describe


def value_text(value: Value) -> str:
    """Write a value canonically, as it is typed on the command line: `64-64-64`, `true`, `0.5`."""
    if isinstance(value, tuple):
        return "-".join(describe(item) for item in value)
    return value if isinstance(value, str) else describe(value)


def label_of(value: Value) -> Scalar:
    """Return what is recorded for a value: itself, or the text of a list."""
    return value_text(value) if isinstance(value, tuple) else value


def short_text(value: Scalar) -> str:
    """Write a value; one that a sampler drew, with all its digits, to four of them."""
    text = value_text(value)
    return f"{value:.4g}" if isinstance(value, float) and len(text) > 9 else text


def params_lines(params: Mapping[str, Scalar]) -> list[str]:
    """Write each parameter with its value: `batch_size 32`."""
    return [f"{name} {short_text(value)}" for name, value in params.items()]


def params_text(params: Mapping[str, Scalar]) -> str:
    """Write parameters in words: `batch_size 32, batch_norm true`."""
    return ", ".join(params_lines(params)) or "base"


@dataclass(frozen=True)
class IntRange:
    """Whole numbers from low to high, both included, in steps of `step`."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    def contains(self, label: Scalar) -> bool:
        if isinstance(label, bool) or not isinstance(label, int):
            return False
        return self.low <= label <= self.high and (label - self.low) % self.step == 0

    @property
    def allowed(self) -> str:
        """Say in words what the range takes."""
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        return f"a whole number from {self.low} to {self.high}{steps}"


@dataclass(frozen=True)
class FloatRange:
    """Numbers from low to high, both included."""

    low: float
    high: float
    log: bool = False

    def contains(self, label: Scalar) -> bool:
        if isinstance(label, bool) or not isinstance(label, int | float):
            return False
        return self.low <= label <= self.high

    @property
    def allowed(self) -> str:
        """Say in words what the range takes."""
        return f"a number from {describe(self.low)} to {describe(self.high)}"


@dataclass(frozen=True)
class Choices:
    """Separate values in no order. A sampler chooses among the labels."""

    values: tuple[Value, ...]

    @property
    def labels(self) -> tuple[Scalar, ...]:
        return tuple(label_of(value) for value in self.values)

    def contains(self, label: Scalar) -> bool:
        return label in self.labels

    @property
    def allowed(self) -> str:
        """Say in words what there is to choose from."""
        return "one of " + ", ".join(value_text(value) for value in self.values)


Domain: TypeAlias = IntRange | FloatRange | Choices


@dataclass(frozen=True)
class Parameter:
    """One searched parameter: a field of the configuration, `layers` or `width`.

    `when` names other parameters and the labels they must have; all of them must hold.
    """

    name: str
    domain: Domain
    when: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()

    def is_active(self, params: Mapping[str, Scalar]) -> bool:
        """Say whether the parameter is searched, given those that were chosen before it."""
        return all(name in params and params[name] in labels for name, labels in self.when)


@dataclass(frozen=True)
class SweepValue:
    """One value of a sweep: its label in a study, and the fields that it sets."""

    label: Scalar
    fields: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Sweep:
    """The prescribed values of one hyperparameter; `set` changes the base for this sweep."""

    name: str
    values: tuple[SweepValue, ...]
    set: tuple[tuple[str, Value], ...] = ()

    @property
    def labels(self) -> tuple[Scalar, ...]:
        return tuple(value.label for value in self.values)


@dataclass(frozen=True)
class Space:
    """A base configuration, the sweeps around it and the open ranges of a search.

    `search` is in an order in which every parameter comes after those that its `when` names.
    `pinned` are the names fixed on the command line. They are no part of what makes two spaces
    equal: what they change is in base, sweeps and search.
    """

    name: str
    base: TrainingConfig
    sweeps: Mapping[str, Sweep] = field(default_factory=dict)
    search: tuple[Parameter, ...] = ()
    pinned: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Cell:
    """One configuration of a grid or a small space, and the labels that tell it from the others.

    `ordinal` is its place among all combinations of a grid; those that are no other training than
    an earlier one have no cell.
    """

    params: Mapping[str, Scalar]
    config: TrainingConfig
    ordinal: int = 0
