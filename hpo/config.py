"""TrainingConfig: the whole description of one training.

A field is declared once: its default, what it may hold and what it means stand side by side. The
same declaration checks a space file, the command line and a record read back from a study.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Final, Literal, TypeAlias, get_args, get_type_hints

from hpo.errors import ConfigError, fault_list

Scalar: TypeAlias = bool | int | float | str
Value: TypeAlias = Scalar | tuple[int, ...] | tuple[float, ...]

Activation = Literal["relu", "leaky_relu", "sigmoid", "tanh", "gelu", "silu"]
Loss = Literal["bce", "ce", "focal", "l1", "mse", "smooth_l1"]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
Scheduler = Literal["none", "cosine", "step", "multistep", "polynomial", "plateau"]
Normalize = Literal["unit", "none", "image"]

Many = Literal["no", "yes", "allowed"]


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """What one field of a configuration may hold.

    `many` says whether the field holds one value, several, or either. `low` and `high` bound each
    value; `above_low` and `below_high` exclude the bound itself.
    """

    help: str
    kind: type[bool] | type[int] | type[float] | type[str]
    _: KW_ONLY
    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False
    below_high: bool = False
    choices: tuple[str, ...] = ()
    many: Many = "no"
    max_length: int = 64

    @property
    def allowed(self) -> str:
        """Say in words what the field takes."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is bool:
            return "true or false"
        noun = "a whole number" if self.kind is int else "a number"
        if self.many == "yes":
            noun = f"a list of 1 to {self.max_length} {noun[2:]}s"
        elif self.many == "allowed":
            noun += " or a list of them"
        return f"{noun} {self._bounds()}".strip()

    def read(self, value: object) -> Value:
        """Return the value in its canonical type.

        Raises:
            ValueError: the value is of the wrong type or out of bounds; says what is allowed.
        """
        if isinstance(value, list | tuple):
            if self.many == "no" or not 1 <= len(value) <= self.max_length:
                raise ValueError(f"takes {self.allowed}, but got {describe(value)}")
            return tuple(self._read_one(item) for item in value)  # type: ignore[return-value]
        if self.many == "yes":
            return (self._read_one(value),)  # type: ignore[return-value]
        return self._read_one(value)

    def parse(self, text: str) -> Value:
        """Read the value from the command line: `0.5`, `true`, `64-64-64` or `[0.9, 0.8]`."""
        text = text.strip()
        if self.many != "no":
            is_bracketed = text.startswith("[") and text.endswith("]")
            inner = text[1:-1] if is_bracketed else text
            separator = "," if "," in inner else r"(?<=[\d.])-"
            parts = [part.strip() for part in re.split(separator, inner)]
            if len(parts) > 1 or is_bracketed or self.many == "yes":
                return self.read([self._parse_one(part) for part in parts])
        return self.read(self._parse_one(text))

    def _read_one(self, value: object) -> Scalar:
        if self.kind is bool or self.kind is str:
            if not isinstance(value, self.kind) or (self.choices and value not in self.choices):
                raise self._problem(value)
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._problem(value)
        if not abs(value) < 1e300 or (self.kind is int and value != int(value)):
            raise self._problem(value)
        number = float(value) if self.kind is float else int(value)
        is_low = number < self.low or (self.above_low and number == self.low)
        is_high = number > self.high or (self.below_high and number == self.high)
        if is_low or is_high:
            raise self._problem(value)
        return number

    def _problem(self, value: object) -> ValueError:
        return ValueError(f"takes {self.allowed}, but got {describe(value)}")

    def _parse_one(self, text: str) -> Scalar:
        if self.kind is bool and text.lower() in {"true", "false"}:
            return text.lower() == "true"
        if self.kind in (int, float):
            for number in (int, float):
                try:
                    return number(text)
                except ValueError:
                    continue
        return text

    def _bounds(self) -> str:
        low = "" if math.isinf(self.low) else ("above " if self.above_low else "from ")
        high = "" if math.isinf(self.high) else ("below " if self.below_high else "to ")
        parts = [f"{low}{self.low:g}" if low else "", f"{high}{self.high:g}" if high else ""]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training: network, loss, optimizer, schedule, data handling.

    Raises:
        ConfigError: every fault at once, each with the field, its value and what is allowed.
    """

    hidden: Annotated[
        tuple[int, ...],
        FieldSpec("width of each hidden layer", int, low=1, high=4096, many="yes", max_length=8),
    ] = (64, 64, 64)
    activation: Annotated[
        Activation, FieldSpec("activation of the hidden layers", str, choices=get_args(Activation))
    ] = "relu"
    batch_norm: Annotated[
        bool, FieldSpec("BatchNorm between each hidden Linear and its activation", bool)
    ] = True
    dropout: Annotated[
        float | tuple[float, ...],
        FieldSpec(
            "probability to drop a hidden unit; one value, or one per hidden layer",
            float, low=0, high=1, below_high=True, many="allowed", max_length=8,
        ),
    ] = 0.5  # fmt: skip
    loss: Annotated[
        Loss,
        FieldSpec(
            "loss of a training step; l1, mse and smooth_l1 compare probabilities",
            str, choices=get_args(Loss),
        ),
    ] = "bce"  # fmt: skip
    outputs: Annotated[
        int,
        FieldSpec(
            "outputs of the network, 1 or 2; 0: one for bce, two for every other loss",
            int, low=0, high=2,
        ),
    ] = 0  # fmt: skip
    focal_gamma: Annotated[
        float, FieldSpec("focusing exponent of the focal loss", float, low=0, high=10)
    ] = 2.0
    label_smoothing: Annotated[
        float,
        FieldSpec(
            "share of the target spread evenly over both classes",
            float, low=0, high=1, below_high=True,
        ),
    ] = 0.0  # fmt: skip
    optimizer: Annotated[Optimizer, FieldSpec("optimizer", str, choices=get_args(Optimizer))] = (
        "adam"
    )
    learning_rate: Annotated[
        float,
        FieldSpec("learning rate of the first epoch", float, low=0, above_low=True, high=10),
    ] = 1e-3
    momentum: Annotated[
        float,
        FieldSpec("momentum of sgd and rmsprop", float, low=0, high=1, below_high=True),
    ] = 0.9
    weight_decay: Annotated[
        float, FieldSpec("L2 penalty (adamw: decoupled weight decay)", float, low=0, high=1)
    ] = 0.0
    scheduler: Annotated[
        Scheduler,
        FieldSpec(
            "how the learning rate changes from epoch to epoch", str, choices=get_args(Scheduler)
        ),
    ] = "none"
    step_size: Annotated[
        int,
        FieldSpec(
            "step: epochs between two decays; plateau: epochs to wait for a lower loss",
            int, low=1, high=10_000,
        ),
    ] = 10  # fmt: skip
    gamma: Annotated[
        float,
        FieldSpec(
            "factor of a decay (step, multistep, plateau)", float, low=0, above_low=True, high=1
        ),
    ] = 0.1
    milestones: Annotated[
        tuple[int, ...],
        FieldSpec("epochs after which multistep decays", int, low=1, high=100_000, many="yes"),
    ] = (15, 25)
    power: Annotated[
        float,
        FieldSpec("exponent of the polynomial schedule", float, low=0, above_low=True, high=10),
    ] = 1.0
    batch_size: Annotated[int, FieldSpec("images per step", int, low=2, high=65_536)] = 32
    epochs: Annotated[
        int, FieldSpec("passes over the training images", int, low=1, high=10_000)
    ] = 30
    image_size: Annotated[
        int, FieldSpec("side of the square images in pixels", int, low=8, high=1024)
    ] = 256
    normalize: Annotated[
        Normalize,
        FieldSpec(
            "unit: pixels / 255; none: 0..255; image: zero mean, unit deviation per image",
            str, choices=get_args(Normalize),
        ),
    ] = "unit"  # fmt: skip
    augment_pose: Annotated[
        float,
        FieldSpec(
            "largest random shift, scaling and shear (shares) and rotation (radians) "
            "of training images",
            float, low=0, high=1,
        ),
    ] = 0.0  # fmt: skip
    augment_stretch: Annotated[
        float,
        FieldSpec(
            "largest random change of width against height (shares) of training images, which "
            "were squeezed into squares",
            float, low=0, high=0.9,
        ),
    ] = 0.0  # fmt: skip
    augment_exposure: Annotated[
        float,
        FieldSpec(
            "largest random change of brightness and contrast (shares) of training images",
            float, low=0, high=1,
        ),
    ] = 0.0  # fmt: skip
    augment_flip: Annotated[bool, FieldSpec("mirror half of the training images", bool)] = False
    early_stopping: Annotated[
        int,
        FieldSpec(
            "stop after so many epochs without a lower validation loss and keep the best "
            "epoch's weights; 0: off",
            int, low=0, high=10_000,
        ),
    ] = 0  # fmt: skip

    def __post_init__(self) -> None:
        faults = []
        for name, spec in FIELDS.items():
            try:
                object.__setattr__(self, name, spec.read(getattr(self, name)))
            except ValueError as problem:
                faults.append(f"{name} {problem}")
        faults += [] if faults else _cross_check(self)
        if faults:
            raise ConfigError(fault_list("The configuration cannot be used:", faults))

    @classmethod
    def from_mapping(cls, raw: Mapping[str, object]) -> "TrainingConfig":
        """Build a configuration from names and plain values, all faults in one message."""
        unknown = [unknown_field(name) for name in raw if name not in FIELDS]
        try:
            config = cls(**{name: value for name, value in raw.items() if name in FIELDS})  # type: ignore[arg-type]
        except ConfigError as error:
            raise ConfigError("\n".join([str(error), *(f"  - {f}" for f in unknown)])) from None
        if unknown:
            raise ConfigError(fault_list("The configuration cannot be used:", unknown))
        return config

    @property
    def n_outputs(self) -> int:
        """The number of logits, with `outputs = 0` resolved."""
        return self.outputs or (1 if self.loss == "bce" else 2)

    @property
    def is_warped(self) -> bool:
        """Whether training images are moved, turned or stretched: what costs most time."""
        return self.augment_pose > 0 or self.augment_stretch > 0

    @property
    def dropout_per_layer(self) -> tuple[float, ...]:
        """One dropout probability per hidden layer."""
        if isinstance(self.dropout, tuple):
            return self.dropout
        return (self.dropout,) * len(self.hidden)

    def replace(self, **changes: Value) -> "TrainingConfig":
        """Return a copy with the given fields changed, validated again."""
        return TrainingConfig.from_mapping(self.to_mapping() | changes)

    def to_mapping(self) -> dict[str, Value]:
        """Return every field, active or not."""
        return {name: getattr(self, name) for name in FIELDS}

    def active_fields(self) -> dict[str, Value]:
        """Return the fields that have an effect, in canonical form.

        Two configurations with equal active fields are the same training.
        """
        fields = self.to_mapping()
        for name, is_active in _ACTIVE_WHEN.items():
            if not is_active(self):
                del fields[name]
        fields["dropout"] = self.dropout_per_layer
        fields["outputs"] = self.n_outputs
        return fields

    def identity(self) -> str:
        """Return the active fields as canonical JSON: equal where trainings are alike."""
        return json.dumps(self.active_fields(), sort_keys=True, separators=(",", ":"))


FIELDS: Final[dict[str, FieldSpec]] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(TrainingConfig, include_extras=True).items()
}

_ACTIVE_WHEN: Final[dict[str, Callable[[TrainingConfig], bool]]] = {
    "focal_gamma": lambda c: c.loss == "focal",
    "momentum": lambda c: c.optimizer in {"sgd", "rmsprop"},
    "step_size": lambda c: c.scheduler in {"step", "plateau"},
    "gamma": lambda c: c.scheduler in {"step", "multistep", "plateau"},
    "milestones": lambda c: c.scheduler == "multistep",
    "power": lambda c: c.scheduler == "polynomial",
    "augment_stretch": lambda c: c.augment_stretch > 0,
}


def _cross_check(config: TrainingConfig) -> list[str]:
    faults = []
    n_layers = len(config.hidden)
    if isinstance(config.dropout, tuple) and len(config.dropout) != n_layers:
        faults.append(
            f"dropout = {describe(config.dropout)} has {len(config.dropout)} values for "
            f"{n_layers} hidden layers: give one value, or {n_layers}"
        )
    if list(config.milestones) != sorted(set(config.milestones)):
        faults.append(f"milestones = {describe(config.milestones)} must rise from one to the next")
    return faults


def unknown_field(name: str, meant: str | None = None) -> str:
    """Say that a hyperparameter does not exist, with the one that was probably meant."""
    meant = meant or nearest(name, FIELDS)
    hint = f"Did you mean {meant}?" if meant else "Run `hpo grid` to see what can be varied."
    return f"Unknown hyperparameter {name[:60]!r}. {hint}"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return `: did you mean X?` for the nearest name, or the names there are."""
    known = list(names)
    if near := nearest(name, known):
        return f": did you mean {near}?"
    return f"; there are: {', '.join(known)}" if known else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the name that is spelled most like this one, None where none is near."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.6)), None)


def describe(value: object) -> str:
    """Write a value as a space file would: `true`, `[64, 64]`, `"relu"`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(describe(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
