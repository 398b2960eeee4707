"""The records of a space: its hyperparameters, what is swept and what is searched.

`layers` and `width` exist only in spaces: together they define `hidden` as a number of layers of
one width.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Annotated, Any, Final, Self, TypeAlias

from pydantic import (
    BaseModel,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from hpo.config import (
    MLP_FIELDS,
    STRICT,
    Scalar,
    Signature,
    TrainingConfig,
    Value,
    Whole,
    Width,
    describe,
    faults,
    unknown_field,
)
from hpo.errors import ConfigError, fault_list

Fields: TypeAlias = dict[str, Value]

_SHAPE: Final = ("layers", "width")
_Layers: Any = Annotated[Whole, Field(ge=1, le=8)]


@cache
def _fields_of(signature: Signature | None) -> type[BaseModel]:
    """Return the fields that a space may set: of the built-in or a custom network."""
    fields: dict[str, Any] = {}
    for name, info in TrainingConfig.model_fields.items():
        fields[name] = (info.annotation, info)
        if name == "hidden":
            fields |= {"layers": (_Layers, 1), "width": (Width, 1)}
    left_out: tuple[str, ...] = ("model",)
    left_out += () if signature is None else (*MLP_FIELDS, *_SHAPE)
    own = {declared.name: declared.field for declared in signature or ()}
    # An estimator may have a parameter with the name of a field that it does not use.
    left_out += tuple(own)
    fields = own | {name: field for name, field in fields.items() if name not in left_out}
    return create_model("_Fields", __config__=STRICT, **fields)


def names_of(signature: Signature | None) -> tuple[str, ...]:
    """Return every name that a space may use, in canonical order."""
    return tuple(_fields_of(signature).model_fields)


def unknown_name(name: str, signature: Signature | None = None) -> str:
    """Return the message for an unknown name, with a suggestion."""
    name, sign, values = name.partition("=")
    names = names_of(signature)
    if sign and name in names:
        return (
            f"{name} takes no values here. To compare values: hpo grid {name}={values}; to fix "
            f"one: --set {name}={values.partition(',')[0]}."
        )
    if signature is not None and name in (*MLP_FIELDS, *_SHAPE):
        declared = ", ".join(d.name for d in signature) or "no hyperparameters"
        return f"{name} belongs to the built-in network. This model has {declared}."
    return unknown_field(name, names)


def parse_value(text: str) -> object:
    """Read a value from the command line: `0.5`, `true`, `64-64-64` or `[0.9, 0.8]`.

    `read_fields` checks it.
    """
    text = text.strip()
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not inner.strip() and inner != text:
        return []
    parts = re.split("," if "," in inner else r"(?<=[\d.])-", inner)
    if len(parts) > 1 or inner != text:
        return [_parse_scalar(part.strip()) for part in parts]
    return _parse_scalar(text)


def _parse_scalar(text: str) -> Scalar:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    return text


def read_fields(raw: object, signature: Signature | None = None) -> Fields:
    """Check hyperparameters and return them in canonical types and order.

    `signature` is that of a custom model, None for the built-in network.

    Raises:
        ValueError: all faults at once, one sentence each.
    """
    problems = both_forms(raw) if isinstance(raw, Mapping) else []
    fields: Fields = {}
    try:
        fields = _fields_of(signature).model_validate(raw).model_dump(exclude_unset=True)
    except ValidationError as error:
        problems = faults(error, unknown=partial(unknown_name, signature=signature)) + problems
    if problems:
        raise ValueError(*problems)
    return fields


def both_forms(names: Collection[str]) -> list[str]:
    """Return the fault of setting the hidden layers in both forms."""
    parts = [name for name in _SHAPE if name in names]
    if not parts or "hidden" not in names:
        return []
    return [f"Both hidden and {' and '.join(parts)} set the hidden layers. Keep one form."]


def uniform_width(config: TrainingConfig) -> int | None:
    """Return the one width of all hidden layers, None if they differ."""
    return config.hidden[0] if len(set(config.hidden)) == 1 else None


def fit_dropout(dropout: Value, n_layers: int) -> Value:
    """Return a dropout per layer for another number of layers.

    Each layer keeps its probability; additional layers take that of the last one.
    """
    if not isinstance(dropout, tuple):
        return dropout
    return (dropout + dropout[-1:] * n_layers)[:n_layers]


def apply(base: TrainingConfig, changes: Mapping[str, Value]) -> TrainingConfig:
    """Return the configuration with changes, including `layers` and `width`.

    An unchanged dropout per layer is adapted to the number of layers (`fit_dropout`).

    Raises:
        ConfigError: the changed configuration is invalid.
    """
    if base.model:
        return base.replace(**changes)
    fields: dict[str, Any] = {n: value for n, value in changes.items() if n not in _SHAPE}
    if changes.keys() & set(_SHAPE):
        layers = changes.get("layers", len(base.hidden))
        width = changes.get("width", uniform_width(base))
        if width is None:
            fault = (
                f"layers = {layers} needs one width, but hidden = {describe(base.hidden)}. "
                "Set width too, or set hidden instead."
            )
            raise ConfigError(fault_list("The configuration is invalid:", [fault]))
        fields["hidden"] = (width,) * int(layers)  # type: ignore[arg-type]
    if "hidden" in fields and "dropout" not in fields:
        fields["dropout"] = fit_dropout(base.dropout, len(fields["hidden"]))
    return base.replace(**fields)


def overlapping(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return the names that set the same field as another one: `width` sets `hidden`."""
    set_names = set(others)
    if "hidden" in set_names:
        set_names.update(_SHAPE)
    elif set_names & set(_SHAPE):
        set_names.add("hidden")
    return [name for name in names if name in set_names]


def value_text(value: Value) -> str:
    """Format a value as typed on the command line: `64-64-64`, `true`, `0.5`."""
    if isinstance(value, tuple):
        return "-".join(describe(item) for item in value)
    return value if isinstance(value, str) else describe(value)


def label_of(value: Value) -> Scalar:
    """Return the recorded label of a value: itself, or the text of a list."""
    return value_text(value) if isinstance(value, tuple) else value


def current_label(config: TrainingConfig, name: str) -> Scalar | None:
    """Return the label of a configuration's value; None if layers have different widths."""
    if name in _SHAPE and not config.model:
        return len(config.hidden) if name == "layers" else uniform_width(config)
    value = config.value(name)
    return None if value is None else label_of(value)


def short_text(value: Scalar) -> str:
    """Format a value, with at most four digits."""
    text = value_text(value)
    return f"{value:.4g}" if isinstance(value, float) and len(text) > 9 else text


def params_lines(params: Mapping[str, Scalar]) -> list[str]:
    """Format each parameter with its value: `batch_size 32`."""
    return [f"{name} {short_text(value)}" for name, value in params.items()]


def params_text(params: Mapping[str, Scalar]) -> str:
    """Format parameters in words: `batch_size 32, batch_norm true`."""
    return ", ".join(params_lines(params)) or "base"


SomeFields: TypeAlias = Annotated[
    dict[str, Any], PlainValidator(lambda raw, info: read_fields(raw, info.context))
]
"""Hyperparameters; the context of the validation is the signature of the model."""


def _check_unique(labels: Sequence[Scalar], hint: str = "") -> None:
    label, n = Counter(labels).most_common(1)[0]
    if n > 1:
        raise ValueError(f"The value {value_text(label)} occurs twice.{hint}")


class Sweep(BaseModel):
    """The prescribed values of a hyperparameter; `set` changes the base for this sweep.

    Each value is a set of fields, usually only the hyperparameter itself.
    """

    model_config = STRICT

    name: str
    values: tuple[SomeFields, ...] = Field(min_length=1, strict=False)
    set: SomeFields = {}

    @field_validator("values", mode="before")
    @classmethod
    def _spell_out(cls, values: object, info: ValidationInfo) -> object:
        """Accept plain values as tables that set only the hyperparameter."""
        if not isinstance(values, list | tuple):
            return values
        return [v if isinstance(v, Mapping) else {info.data["name"]: v} for v in values]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not all(self.name in value for value in self.values):
            raise ValueError(f"Each value must set {self.name}.")
        if own := overlapping(self.set, [self.name]):
            raise ValueError(f"Remove {', '.join(own)} from set, because this sweep varies it.")
        hint = " Write a list of layers as [[64, 64], [128]]." if self.name == "hidden" else ""
        _check_unique(self.labels, hint)
        return self

    @property
    def labels(self) -> tuple[Scalar, ...]:
        """The recorded labels of the values.

        A value that sets further fields names them, as in `256 (batch_norm=false, dropout=0)`: a
        label must mean the same configuration in every study.
        """
        labels = []
        for value in self.values:
            further = [f"{n}={value_text(v)}" for n, v in value.items() if n != self.name]
            own = value[self.name]
            labels.append(
                f"{value_text(own)} ({', '.join(further)})" if further else label_of(own)
            )
        return tuple(labels)


Conditions: TypeAlias = dict[str, tuple[Scalar, ...]]


def _read_conditions(raw: object, info: ValidationInfo) -> Conditions:
    """Read `{ scheduler = "step", layers = [2, 3] }` into labels, in canonical order."""
    if not isinstance(raw, Mapping):
        raise ValueError(f'Write it as when = {{ scheduler = "step" }}, not {describe(raw)}.')
    labels: dict[str, set[Scalar]] = {}
    problems: list[str] = []
    for name, items in raw.items():
        values = items if isinstance(items, list | tuple) else [items]
        try:  # A list is written as its label, `64-64`.
            plain = [parse_value(v) if isinstance(v, str) else v for v in values]
            labels[name] = {
                label_of(read_fields({name: value}, info.context)[name]) for value in plain
            }
        except ValueError as error:
            problems += error.args
        if not values:
            problems.append(f"The list of {name} is empty, so the condition never holds.")
    if problems:
        raise ValueError(*problems)
    return {
        name: tuple(sorted(labels[name], key=lambda label: (str(type(label)), label)))
        for name in names_of(info.context)
        if name in labels
    }


def _read_own(raw: object, info: ValidationInfo) -> Value:
    """Read a value of this parameter."""
    name = info.data["name"]
    return read_fields({name: raw}, info.context)[name]


_Own: TypeAlias = Annotated[Any, PlainValidator(_read_own)]
_When: TypeAlias = Annotated[dict[str, Any], PlainValidator(_read_conditions)]


class Range(BaseModel):
    """A parameter that is searched between two numbers, both included.

    Whole numbers are tried in steps of `step`. `when` names other parameters and the labels that
    they must have; all conditions must hold.
    """

    model_config = STRICT

    name: str
    low: _Own
    high: _Own
    log: bool = False
    step: int = Field(default=1, ge=1)
    when: _When = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high, step = self.low, self.high, self.step
        ends = f"low is {describe(low)} and high is {describe(high)}"
        if not all(type(end) in (int, float) for end in (low, high)):
            raise ValueError("low and high must be numbers. List other values as choices = [...].")
        if low > high:
            raise ValueError(f"low must not be above high, but {ends}.")
        if self.log and low <= 0:
            raise ValueError(f"With log = true, low must be above 0, but is {describe(low)}.")
        if step > 1 and (self.log or isinstance(low, float)):
            other = "log = true" if self.log else "a range of fractions"
            raise ValueError(f"step = {step} cannot be combined with {other}.")
        if rest := (high - low) % step if step > 1 else 0:
            raise ValueError(
                f"Steps of {step} do not reach high, as {ends}. Use high = {high - rest} or "
                f"{high - rest + step}."
            )
        return self

    @property
    def labels(self) -> Sequence[Scalar] | None:
        """Every value of the range, None if there are too many to count."""
        if isinstance(self.low, int):
            return range(self.low, self.high + 1, self.step)
        return [self.low] if self.low == self.high else None

    def find(self, label: object) -> Scalar | None:
        """Return the label in the parameter's type, None if it is not in the range."""
        kind = type(self.low)
        is_number = isinstance(label, int | kind) and not isinstance(label, bool)
        if not is_number or not self.low <= label <= self.high:
            return None
        return kind(label) if kind is float or (label - self.low) % self.step == 0 else None

    def at(self, share: float) -> Scalar:
        """Return the value at a share (0 to below 1) of the way from low to high."""
        low, high, labels = self.low, self.high, self.labels
        if labels is not None and not self.log:
            return labels[int(share * len(labels))]
        if not self.log:
            return float(low + share * (high - low))
        # Each whole number covers the interval up to halfway to the next.
        half = 0.5 if isinstance(low, int) else 0.0
        value = (low - half) * ((high + half) / (low - half)) ** share
        nearest: Scalar = min(max(round(value) if half else value, low), high)
        return nearest


class Choices(BaseModel):
    """A parameter that is searched among choices; `when` as in a range."""

    model_config = STRICT

    name: str
    choices: tuple[_Own, ...] = Field(min_length=1, strict=False)
    when: _When = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_unique(self.labels)
        return self

    @property
    def labels(self) -> tuple[Scalar, ...]:
        return tuple(label_of(value) for value in self.choices)

    @property
    def is_ordered(self) -> bool:
        """Whether there are several choices, increasing numbers."""
        labels = [label for label in self.labels if type(label) in (int, float)]
        return len(labels) > 1 and (*sorted(labels),) == self.labels

    def find(self, label: object) -> Scalar | None:
        """Return the label in the parameter's type, None if it is not a choice."""
        return next((own for own in self.labels if own == label), None)

    def at(self, share: float) -> Scalar:
        """Return the choice at a share (0 to below 1) of the way through all."""
        return self.labels[int(share * len(self.labels))]


Parameter: TypeAlias = Range | Choices


def is_active(parameter: Parameter, params: Mapping[str, Scalar]) -> bool:
    """Return whether a parameter is active, given those chosen before it."""
    return all(params.get(name) in labels for name, labels in parameter.when.items())


@dataclass(frozen=True)
class Space:
    """A base configuration, the sweeps around it and the ranges of a search.

    `search` is ordered so that each parameter comes after those in its `when`; `start` holds
    parameters that a search tries after the base. `pinned` are the names fixed on the command
    line. They do not count in comparisons of spaces, as their effect is in base, sweeps and
    search. `code` is FILE.py:NAME of the base's custom model with its folder, if the command line
    or a space file named it: a recorded space has none, since code named by a database is not run.
    """

    name: str
    base: TrainingConfig
    sweeps: Mapping[str, Sweep] = field(default_factory=dict)
    search: tuple[Parameter, ...] = ()
    start: tuple[Mapping[str, Scalar], ...] = ()
    pinned: tuple[str, ...] = field(default=(), compare=False)
    code: str | None = field(default=None, compare=False)

    @property
    def signature(self) -> Signature | None:
        """The signature of its custom model, None for the built-in network."""
        return self.base.signature

    @property
    def names(self) -> tuple[str, ...]:
        """Every hyperparameter, in canonical order."""
        return names_of(self.signature)


@dataclass(frozen=True)
class Cell:
    """One configuration of a grid or a small space, with the labels of its parameters.

    `ordinal` is its position among all combinations of a grid.
    """

    params: Mapping[str, Scalar]
    config: TrainingConfig
    ordinal: int = 0
