"""The names that a space may use: the fields of a configuration, and `layers` x `width`.

`layers` and `width` are a way to write `hidden`: so many layers of one width.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from hpo.config import (
    FIELDS,
    FieldSpec,
    Scalar,
    TrainingConfig,
    Value,
    describe,
    nearest,
    unknown_field,
)
from hpo.errors import ConfigError, fault_list
from hpo.space.records import SweepValue, label_of, value_text

_HIDDEN: Final = FIELDS["hidden"]
_SHAPE: Final[dict[str, FieldSpec]] = {
    "layers": FieldSpec("number of hidden layers", int, low=1, high=_HIDDEN.max_length),
    "width": FieldSpec("width of every hidden layer", int, low=_HIDDEN.low, high=_HIDDEN.high),
}

NAMES: Final[dict[str, FieldSpec]] = {"hidden": _HIDDEN, **_SHAPE, **FIELDS}
# What scripts and other tools call them, where no spelling is near.
_SHORT_NAMES: Final = {
    "lr": "learning_rate",
    "eta": "learning_rate",
    "bs": "batch_size",
    "batch": "batch_size",
    "wd": "weight_decay",
    "l2": "weight_decay",
    "decay": "weight_decay",
    "mom": "momentum",
    "act": "activation",
    "opt": "optimizer",
    "sched": "scheduler",
    "lr_scheduler": "scheduler",
    "bn": "batch_norm",
    "size": "image_size",
    "img_size": "image_size",
    "resolution": "image_size",
    "units": "width",
    "neurons": "width",
    "hidden_size": "width",
    "depth": "layers",
    "patience": "early_stopping",
}
_POSITION: Final = {name: position for position, name in enumerate(NAMES)}


def position(name: str) -> int:
    """Return the place of a name in the canonical order, which no file's order changes."""
    return _POSITION[name]


def unknown_name(name: str) -> str:
    """Say that a name does not exist, with the one that was probably meant."""
    name, sign, values = name.partition("=")
    if sign and name in NAMES:
        return f"--param takes a name alone: use --param {name} --values {values or 'V,V'}"
    short = name.lower().replace("-", "_")
    return unknown_field(name, _SHORT_NAMES.get(short) or nearest(name, NAMES))


def overlap(a: str, b: str) -> bool:
    """Say whether two names write the same thing: equal names, or `hidden` and its two parts."""
    return a == b or (a == "hidden" and b in _SHAPE) or (b == "hidden" and a in _SHAPE)


def overlapping(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return those names that write the same thing as one of the others."""
    others = list(others)
    return [name for name in names if any(overlap(name, other) for other in others)]


def both_forms(names: Iterable[str]) -> str | None:
    """Return the fault of names that write `hidden` in both forms at once."""
    parts = [name for name in names if name in _SHAPE]
    if not parts or "hidden" not in names:
        return None
    return f"hidden and {' and '.join(parts)} both write the hidden layers: keep one form"


def uniform_width(config: TrainingConfig) -> int | None:
    """Return the one width of all hidden layers, None where they differ."""
    return config.hidden[0] if len(set(config.hidden)) == 1 else None


def current_label(config: TrainingConfig, name: str) -> Scalar | None:
    """Return the label of what a configuration holds; None: it has layers of several widths."""
    if name == "layers":
        return len(config.hidden)
    if name == "width":
        return uniform_width(config)
    value: Value = getattr(config, name)
    return label_of(value)


def fit_dropout(dropout: Value, n_layers: int) -> Value:
    """Return a dropout per layer for another number of layers.

    Each layer keeps its probability, and layers that are added take that of the last one.
    """
    if not isinstance(dropout, tuple):
        return dropout
    return (dropout + dropout[-1:] * n_layers)[:n_layers]


def apply(base: TrainingConfig, changes: Mapping[str, Value]) -> TrainingConfig:
    """Return the configuration with changes, `layers` and `width` among them.

    A dropout per layer that is not itself changed follows the number of layers (`fit_dropout`).

    Raises:
        ConfigError: the changed configuration does not make sense.
    """
    fields = {name: value for name, value in changes.items() if name in FIELDS}
    if "layers" in changes or "width" in changes:
        fields["hidden"] = _hidden(base, changes)
    if "hidden" in fields and "dropout" not in fields:
        hidden = fields["hidden"]
        n_layers = len(hidden) if isinstance(hidden, tuple) else 1
        fields["dropout"] = fit_dropout(base.dropout, n_layers)
    return base.replace(**fields)


def _hidden(base: TrainingConfig, changes: Mapping[str, Value]) -> tuple[int, ...]:
    layers = changes.get("layers", len(base.hidden))
    width = changes.get("width", uniform_width(base))
    if not isinstance(width, int):
        fault = (
            f"layers = {layers} needs one width, but hidden = {describe(base.hidden)} has "
            "several: set width too, or write hidden"
        )
        raise ConfigError(fault_list("The configuration cannot be used:", [fault]))
    assert isinstance(layers, int)
    return (width,) * layers


def reasons(error: ConfigError) -> list[str]:
    """Return the faults of a configuration without the line that introduces them."""
    return [line.strip().removeprefix("- ") for line in str(error).splitlines()[1:]]


def sweep_value(name: str, fields: Mapping[str, Value]) -> SweepValue:
    """Build a value of the sweep `name`, with its canonical label.

    A value that sets further fields names them, as in `256 (batch_norm=false, dropout=0)`: a
    label must mean the same configuration in every study.
    """
    ordered = tuple((key, fields[key]) for key in sorted(fields, key=position))
    further = [f"{key}={value_text(value)}" for key, value in ordered if key != name]
    if not further:
        return SweepValue(label_of(fields[name]), ordered)
    return SweepValue(f"{value_text(fields[name])} ({', '.join(further)})", ordered)
