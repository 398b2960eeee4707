"""TrainingConfig: the complete description of one training.

A field is declared once, with type, bounds, default and description. The same declaration checks
space files, the command line and records read back from a study.
"""

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from numbers import Integral
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    create_model,
    model_serializer,
    model_validator,
)

from hpo.choices import (
    Activation,
    Align,
    ClassWeight,
    Loss,
    Normalize,
    Optimizer,
    Scheduler,
    ScoredWeights,
)
from hpo.errors import ConfigError, fault_list

Scalar: TypeAlias = bool | int | float | str
Value: TypeAlias = Scalar | tuple[int, ...] | tuple[float, ...]

_LONGEST_VALUE: Final = 200
STRICT: Final = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
MIN_SIDE: Final = 8
MAX_SIDE: Final = 1024
MOST_CLASSES: Final = 100


def _whole(value: object) -> object:
    """Accept 3.0 and numpy's integers as 3: some programs write all numbers as floats."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    is_whole = is_whole or (isinstance(value, float) and value.is_integer())
    return int(value) if is_whole else value  # type: ignore[call-overload]


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _increasing(values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError(f"The values must increase, but are {describe(values)}.")
    return values


Whole: TypeAlias = Annotated[int, BeforeValidator(_whole)]
Width: TypeAlias = Annotated[Whole, Field(ge=1, le=4096)]
_UpTo8: Final = Field(min_length=1, max_length=8, fail_fast=True)
Widths: TypeAlias = Annotated[tuple[Width, ...], _UpTo8, BeforeValidator(_as_tuple)]
_Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
_Probability: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
_Probabilities: TypeAlias = Annotated[tuple[_Probability, ...], _UpTo8, BeforeValidator(_as_tuple)]
_TAGS: Final = ("one value", "a list")
_Dropout: TypeAlias = Annotated[
    Annotated[_Probability, Tag(_TAGS[0])] | Annotated[_Probabilities, Tag(_TAGS[1])],
    Discriminator(lambda value: _TAGS[isinstance(value, list | tuple)]),
]
_Milestones: TypeAlias = Annotated[
    tuple[Annotated[Whole, Field(ge=1, le=100_000)], ...],
    Field(min_length=1, max_length=64, fail_fast=True),
    BeforeValidator(_as_tuple),
    AfterValidator(_increasing),
]


class Declared(BaseModel):
    """A hyperparameter of a custom model, as declared by the signature of its function.

    Without a default it is absent until it is set; `any` accepts every kind of value.
    """

    model_config = STRICT

    name: Annotated[str, Field(pattern=r"^[^\W\d]\w*$", max_length=60)]
    kind: Literal["bool", "int", "float", "str", "any"]
    default: Scalar | None = None
    choices: tuple[Scalar, ...] = Field(default=(), strict=False)
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False

    @property
    def field(self) -> Any:
        """The type and default for pydantic."""
        kind: Any = _KINDS[self.kind]
        if self.choices:
            kind = Literal[self.choices]
        elif self.low is not None:
            kind = Annotated[kind, Field(ge=self.low, le=self.high)]
        return kind, self.default


Signature: TypeAlias = tuple[Declared, ...]

_KINDS: Final = {"bool": bool, "int": Whole, "float": float, "str": str, "any": Scalar}


class CustomModel(BaseModel):
    """A custom network: its file, the hyperparameters that it declares, and their values.

    `entry` is FILE.py:NAME without a folder, `digest` covers the file and the modules next to it
    that it imports, `versions` are those of its other imports, `given` are the arguments that hpo
    supplies. An estimator is from scikit-learn: it is fitted once, an `incremental` one batch by
    batch. None of it runs code.
    """

    model_config = STRICT

    entry: str
    digest: str
    versions: dict[str, str]
    kind: Literal["network", "estimator", "incremental"] = "network"
    given: tuple[Literal["image_size", "n_outputs", "seed"], ...] = Field(default=(), strict=False)
    signature: Signature = Field(default=(), strict=False)
    params: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check_params(self) -> Self:
        params = _params_of(self.signature).model_validate(self.params)
        with_values = {n: v for n, v in params.model_dump().items() if v is not None}
        self.params.clear()
        self.params.update(with_values)
        return self

    @property
    def idle_fields(self) -> tuple[str, ...]:
        """The fields of a training that have no effect on this kind."""
        if self.kind == "network":
            return MLP_FIELDS
        ignored = ("epochs", "batch_size") if self.kind == "estimator" else ()
        return (*MLP_FIELDS, *GRADIENT_FIELDS, *ignored)

    def identity(self) -> dict[str, Any]:
        """Return everything that determines the numbers; the file contains the signature."""
        return self.model_dump(include={"entry", "digest", "versions", "params"})


@cache
def _params_of(signature: Signature) -> type[BaseModel]:
    fields = {declared.name: declared.field for declared in signature}
    return create_model("_Params", __config__=STRICT, **fields)


MLP_FIELDS: Final = ("hidden", "activation", "batch_norm", "dropout")
"""The fields of the built-in network, which custom models lack."""

GRADIENT_FIELDS: Final = (
    "loss", "outputs", "focal_gamma", "label_smoothing", "class_weight", "optimizer",
    "learning_rate", "momentum", "weight_decay", "scheduler", "step_size", "gamma", "milestones",
    "power", "weights",
)  # fmt: skip
"""The fields that an estimator of scikit-learn does not use."""


class TrainingConfig(BaseModel):
    """One training: network, loss, optimizer, schedule, data handling.

    Raises:
        ConfigError: all faults at once, each with the field, its value and the allowed values.
    """

    model_config = STRICT

    hidden: Widths = Field(default=(64, 64, 64), description="width of each hidden layer")
    activation: Activation = Field(default="relu", description="activation of the hidden layers")
    batch_norm: bool = Field(default=True, description="BatchNorm between Linear and activation")
    dropout: _Dropout = Field(
        default=0.5, description="probability to drop a hidden unit: one, or one per hidden layer"
    )
    loss: Loss = Field(
        default="bce", description="training loss; l1, mse and smooth_l1 compare probabilities"
    )
    outputs: Whole = Field(
        default=0,
        ge=0,
        le=MOST_CLASSES,
        description="outputs of the network; 0: one for bce, else two; one per class if more",
    )
    focal_gamma: float = Field(default=2.0, ge=0, le=10, description="exponent of the focal loss")
    label_smoothing: _Probability = Field(
        default=0.0, description="share of the target spread evenly over the classes"
    )
    class_weight: ClassWeight = Field(
        default="none", description="balanced: each class has the same weight in the loss"
    )
    optimizer: Optimizer = Field(default="adam", description="optimizer")
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="initial learning rate")
    momentum: _Probability = Field(default=0.9, description="momentum of sgd and rmsprop")
    weight_decay: _Share = Field(default=0.0, description="L2 penalty; decoupled for adamw")
    scheduler: Scheduler = Field(default="none", description="schedule of the learning rate")
    step_size: Whole = Field(
        default=10, ge=1, le=10_000, description="step: epochs between decays; plateau: patience"
    )
    gamma: float = Field(
        default=0.1, gt=0, le=1, description="factor of a decay (step, multistep, plateau)"
    )
    milestones: _Milestones = Field(
        default=(15, 25), description="epochs after which multistep decays"
    )
    power: float = Field(default=1.0, gt=0, le=10, description="exponent of polynomial decay")
    batch_size: Whole = Field(default=32, ge=2, le=65_536, description="images per step")
    epochs: Whole = Field(default=30, ge=1, le=10_000, description="passes over the images")
    image_size: Whole = Field(
        default=256, ge=MIN_SIDE, le=MAX_SIDE, description="side of the square images in pixels"
    )
    normalize: Normalize = Field(
        default="unit", description="unit: pixels / 255; none: 0..255; image: standardized"
    )
    align: Align = Field(
        default="none", description="template: move each image to fit the training images' mean"
    )
    augment_pose: _Share = Field(
        default=0.0, description="largest shift, scaling and shear (shares), rotation (radians)"
    )
    augment_stretch: float = Field(
        default=0.0, ge=0, le=0.9, description="largest change of the aspect ratio (share)"
    )
    augment_exposure: _Share = Field(
        default=0.0, description="largest change of brightness and contrast (shares)"
    )
    augment_flip: bool = Field(default=False, description="mirror half of the training images")
    early_stopping: Whole = Field(
        default=0,
        ge=0,
        le=10_000,
        description="patience in epochs for the validation loss; 0: off",
    )
    weights: ScoredWeights = Field(
        default="last", description="weights to score and keep: the last, or their average"
    )
    model: CustomModel | None = Field(default=None, description="a custom network")

    @model_validator(mode="after")
    def _one_dropout_per_layer(self) -> Self:
        n_layers = len(self.hidden)
        if isinstance(self.dropout, tuple) and len(self.dropout) != n_layers:
            raise ValueError(
                f"dropout = {describe(self.dropout)} has {len(self.dropout)} values for "
                f"{n_layers} hidden layers. Give one value, or {n_layers}."
            )
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, raw: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(raw)
        except ValidationError as error:
            raise ConfigError(fault_list("The configuration is invalid:", faults(error))) from None

    @model_serializer(mode="wrap")
    def _leave_out_the_other_network(self, handler: SerializerFunctionWrapHandler) -> Any:
        fields = handler(self)
        for name in MLP_FIELDS if self.model else ("model",):
            fields.pop(name, None)
        return fields

    @classmethod
    def from_mapping(cls, raw: Mapping[str, object]) -> Self:
        """Build a configuration from names and plain values, as in a file or database."""
        return cls.model_validate(dict(raw))

    @property
    def n_outputs(self) -> int:
        """The number of logits, with `outputs = 0` resolved."""
        return self.outputs or (1 if self.loss == "bce" else 2)

    @property
    def is_warped(self) -> bool:
        """Whether training images are moved, turned or stretched, which is the slowest change."""
        return self.augment_pose > 0 or self.augment_stretch > 0

    @property
    def dropout_per_layer(self) -> tuple[float, ...]:
        """One dropout probability per hidden layer."""
        if isinstance(self.dropout, tuple):
            return self.dropout
        return (self.dropout,) * len(self.hidden)

    @property
    def signature(self) -> Signature | None:
        """The signature of a custom model, None for the built-in network."""
        return self.model.signature if self.model else None

    @property
    def custom_params(self) -> dict[str, Value]:
        """The hyperparameters of a custom model that have a value."""
        return self.model.params if self.model else {}

    def value(self, name: str) -> Any:
        """Return a hyperparameter, including those of a custom model; None if it has no value."""
        if any(name == declared.name for declared in self.signature or ()):
            return self.custom_params.get(name)
        return getattr(self, name)

    def replace(self, **changes: Value) -> Self:
        """Return a copy with the given fields changed, validated again."""
        fields: dict[str, Any] = self.to_mapping()
        declared = {d.name: changes.pop(d.name) for d in self.signature or () if d.name in changes}
        if declared:
            fields["model"] |= {"params": fields["model"]["params"] | declared}
        return self.from_mapping(fields | changes)

    def to_mapping(self) -> dict[str, Value]:
        """Return every field of this network, active or not."""
        return self.model_dump()

    def active_fields(self) -> dict[str, Value]:
        """Return the fields that have an effect, in canonical form.

        Two configurations with equal active fields are the same training.
        """
        idle = {name for name, is_active in _ACTIVE_WHEN.items() if not is_active(self)}
        fields = self.model_dump(exclude=idle) | {"outputs": self.n_outputs}
        if not self.model:
            return fields | {"dropout": self.dropout_per_layer}
        fields = {n: v for n, v in fields.items() if n not in self.model.idle_fields}
        return fields | {"model": self.model.identity()}

    def identity(self) -> str:
        """Return the active fields as canonical JSON, which is equal for equal trainings."""
        return json.dumps(self.active_fields(), sort_keys=True, separators=(",", ":"))


_ACTIVE_WHEN: Final[dict[str, Callable[[TrainingConfig], bool]]] = {
    "focal_gamma": lambda c: c.loss == "focal",
    "momentum": lambda c: c.optimizer in {"sgd", "rmsprop"},
    "step_size": lambda c: c.scheduler in {"step", "plateau"},
    "gamma": lambda c: c.scheduler in {"step", "multistep", "plateau"},
    "milestones": lambda c: c.scheduler == "multistep",
    "power": lambda c: c.scheduler == "polynomial",
    "align": lambda c: c.align != "none",
    "augment_stretch": lambda c: c.augment_stretch > 0,
    "weights": lambda c: c.weights == "average",
    "class_weight": lambda c: c.class_weight == "balanced",
}

_NAMES: Final = tuple(TrainingConfig.model_fields)
# Names in scripts and other tools that are not spelled similarly.
_OTHER_NAMES: Final = {
    "lr": "learning_rate", "eta": "learning_rate", "bs": "batch_size", "batch": "batch_size",
    "wd": "weight_decay", "l2": "weight_decay", "decay": "weight_decay", "mom": "momentum",
    "act": "activation", "opt": "optimizer", "sched": "scheduler", "lr_scheduler": "scheduler",
    "bn": "batch_norm", "size": "image_size", "img_size": "image_size",
    "resolution": "image_size", "units": "width", "neurons": "width", "hidden_size": "width",
    "depth": "layers", "patience": "early_stopping",
}  # fmt: skip

_ALLOWED: Final = {
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "a number"),
    "literal_error": "one of {expected}",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "too_short": "a list with at least {min_length} value",
    "too_long": "a list with at most {max_length} values",
    "tuple_type": "a list",
    **dict.fromkeys(("dict_type", "model_type"), "a table"),
    "pattern_regex": "a regular expression",
    "string_type": "a text",
    "path_type": "a path",
}
"""The allowed values by the type of pydantic's error, filled in from its context."""

_OF_UNION: Final = re.compile(r"(str|callable)$|.*\[")
"""The names that pydantic gives to the types of a union, last in the place of a fault."""


def unknown_field(name: str, names: Collection[str] = _NAMES) -> str:
    """Return the message for an unknown hyperparameter, with a suggestion."""
    field = _OTHER_NAMES.get(name.lower().replace("-", "_"))
    hint = f"Did you mean {field}?" if field in names else did_you_mean(name, names)
    return f"Unknown hyperparameter {name[:60]!r}. {hint or 'Run `hpo grid` to see them all.'}"


def faults(
    error: ValueError | ConfigError,
    place: str = "",
    *,
    unknown: Callable[[str], str] = unknown_field,
) -> list[str]:
    """Return a sentence for each fault in an error; those of pydantic are rephrased.

    `place` is the position of the value in a file; `unknown` returns the sentence for an unknown
    name. A ValueError may contain several sentences.
    """
    if not isinstance(error, ValidationError):
        sentences = error.faults if isinstance(error, ConfigError) else error.args
        return [f"{place}: {sentence}" if place else sentence for sentence in sentences]
    all_sentences, with_type = [], set[tuple[str | int, ...]]()
    for fault in error.errors(include_url=False):
        path = [part for part in fault["loc"] if part not in _TAGS]
        kind, context = fault["type"], fault.get("ctx", {})
        if kind.endswith("_type"):
            if len(path) > 1 and _OF_UNION.match(str(path[-1])):
                path.pop()
            if tuple(path) in with_type:  # Each type of a union has its own fault.
                continue
            with_type.add(tuple(path))
        *parents, name = [part for part in path if isinstance(part, str)] or ["The value"]
        if kind == "value_error":
            all_sentences += faults(context["error"], _place(place, path), unknown=unknown)
            continue
        if kind == "too_short" and fault["input"]:  # It counts only valid values.
            continue
        if kind == "extra_forbidden":
            sentence = unknown(name)
        elif kind == "missing":
            sentence = f"{name} is missing."
        else:
            allowed = _ALLOWED.get(kind, "another value").format(**context)
            sentence = f"{name} must be {allowed}, but is {describe(fault['input'])}."
        all_sentences += faults(ValueError(sentence), _place(place, parents))
    return all_sentences


def _place(place: str, path: Sequence[str | int]) -> str:
    """Format the position of a value: `search.gamma.low`, `sweep.loss, value 2`."""
    match path:
        case [*parents, _, int(index)]:
            return f"{_place(place, parents)}, value {index + 1}"
    return ".".join(part for part in (place, *map(str, path)) if part)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question for the most similar name; "" if none is similar."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else ""


def describe(value: object) -> str:
    """Format a value as in a space file, shortened: `true`, `[64, 64]`, `"relu"`."""
    text = toml(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} …"


def toml(value: object) -> str:
    """Format a value as in a space file."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {toml(item)}' for key, item in value.items())} }}"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
