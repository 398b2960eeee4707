"""From the keys of a state dict to its layers: Linear and BatchNorm1d, in order of their numbers.

`nn.Sequential` numbers its modules from 0, and a module's tensors are called NUMBER.NAME. Modules
without tensors (Flatten, activations, Dropout) show as numbers that are left out. A network inside
another has a prefix before the number (`net.1.weight`), as has one under DataParallel (`module.`).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

from hpo.errors import WeightsError, fault_list
from hpo.weights.files import StateDict

_Parts: TypeAlias = Mapping[str, Tensor]

_KEY: Final = re.compile(r"(?P<prefix>.*\.)?(?P<number>[0-9]{1,9})\.(?P<name>[^.]+)")
_STATISTICS: Final = ("running_mean", "running_var")
_NAMES: Final = {"weight", "bias", *_STATISTICS, "num_batches_tracked"}
_WIDER: Final = {3: "a Conv1d", 4: "a Conv2d", 5: "a Conv3d"}
_MOST_FAULTS: Final = 20
_ALLOWED: Final = (
    "What is read is an nn.Sequential of Linear and BatchNorm1d with activations and Dropout "
    "between them, as in the reports."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear:
    """A Linear with `weight` `(n_outputs, n_inputs)`; `key` is what comes before `.weight`."""

    key: str
    weight: Tensor
    bias: Tensor | None

    @property
    def n_inputs(self) -> int:
        """How many values it takes."""
        return self.weight.shape[1]

    @property
    def n_outputs(self) -> int:
        """How many values it gives."""
        return self.weight.shape[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchNorm:
    """A BatchNorm1d over `n_inputs` values."""

    key: str
    running_mean: Tensor
    running_var: Tensor
    weight: Tensor | None
    bias: Tensor | None

    @property
    def n_inputs(self) -> int:
        """How many values it takes."""
        return self.running_mean.shape[0]

    @property
    def n_outputs(self) -> int:
        """As many as it takes."""
        return self.n_inputs


Layer: TypeAlias = Linear | BatchNorm


@dataclass(frozen=True, kw_only=True)
class Layers:
    """The layers of a network in order; `prefix` stood before every key."""

    layers: tuple[Layer, ...]
    prefix: str


def read_layers(state: StateDict) -> Layers:
    """Find the layers of a state dict.

    Raises:
        WeightsError: every tensor that belongs to no Linear or BatchNorm1d, every missing one, or
            keys that are not those of one nn.Sequential.
    """
    if strange := [_strange(k, t) for k, t in state.tensors.items() if t.dim() > 2]:
        raise _unfit(state, strange)
    prefix, modules = _modules(state)
    layers, faults = [], []
    for number in sorted(modules):
        try:
            layers.append(_layer(f"{prefix}{number}", modules[number]))
        except ValueError as fault:
            faults.append(str(fault))
    if faults:
        raise _unfit(state, faults)
    return Layers(layers=tuple(layers), prefix=prefix)


def shorten(faults: list[str]) -> list[str]:
    """Keep a message readable where the file is no network at all."""
    rest = len(faults) - _MOST_FAULTS
    return [*faults[:_MOST_FAULTS], f"and {rest} more"] if rest > 0 else faults


def number_of(layer: Layer) -> int:
    """Return the place of a layer in its nn.Sequential."""
    return int(layer.key.rpartition(".")[2])


def shape_of(tensor: Tensor) -> str:
    """Write a shape as torch does: `(64, 4096)`."""
    return str(tuple(tensor.shape))


def _modules(state: StateDict) -> tuple[str, dict[int, dict[str, Tensor]]]:
    found = {key: _KEY.fullmatch(key) for key in state.tensors}
    prefixes = {match["prefix"] or "" for match in found.values() if match}
    if len(prefixes) != 1 or not all(found.values()):
        shown = ", ".join(list(found)[:6]) + (", …" if len(found) > 6 else "")
        raise WeightsError(
            f"{state.path}: the keys {shown} are not those of one nn.Sequential (1.weight, "
            "1.bias, 2.running_mean, …), so the order of the layers cannot be told. Build the "
            "same layers as one nn.Sequential, give it these tensors, and save its state_dict()."
        )
    modules: defaultdict[int, dict[str, Tensor]] = defaultdict(dict)
    for key, match in found.items():
        if match:
            modules[int(match["number"])][match["name"]] = state.tensors[key]
    return prefixes.pop(), modules


def _layer(key: str, parts: _Parts) -> Layer:
    """Return the layer that has these tensors, in float32.

    Raises:
        ValueError: says which tensors belong to no layer that is read, or which are missing.
    """
    if unknown := sorted(set(parts) - _NAMES):
        raise ValueError(f"{_listed(key, parts, unknown)}: not of a Linear or BatchNorm1d")
    for name, tensor in parts.items():
        if name != "num_batches_tracked" and not tensor.is_floating_point():
            raise ValueError(f"{_listed(key, parts, [name])} holds {tensor.dtype}, no floats")
        if not _is_finite(tensor):
            raise ValueError(f"{_listed(key, parts, [name])} holds values that are not finite")
    floats = {name: tensor.detach().to(torch.float32) for name, tensor in parts.items()}
    if any(name in parts for name in (*_STATISTICS, "num_batches_tracked")):
        return _batch_norm(key, floats)
    return _linear(key, floats)


def _linear(key: str, parts: _Parts) -> Linear:
    weight, bias = parts.get("weight"), parts.get("bias")
    if weight is None:
        raise ValueError(f"{_listed(key, parts, parts)}, but {key}.weight is missing")
    if weight.dim() < 2:
        missing = " and ".join(f"{key}.{name}" for name in _STATISTICS)
        raise ValueError(
            f"{_listed(key, parts, parts)}: of a LayerNorm or PReLU, which are not read, or of "
            f"a BatchNorm1d whose {missing} are missing"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"{_listed(key, parts, parts)}: bias and weight do not fit together")
    return Linear(key=key, weight=weight, bias=bias)


def _batch_norm(key: str, parts: _Parts) -> BatchNorm:
    if missing := [f"{key}.{name}" for name in _STATISTICS if name not in parts]:
        raise ValueError(f"{_listed(key, parts, parts)}, but {' and '.join(missing)} is missing")
    vectors = [name for name in parts if name != "num_batches_tracked"]
    if len({parts[name].shape for name in vectors}) > 1 or parts["running_mean"].dim() != 1:
        raise ValueError(
            f"{_listed(key, parts, vectors)}: of a BatchNorm1d these are vectors of one length"
        )
    if (parts["running_var"] < 0).any():
        raise ValueError(f"{key}.running_var holds negative variances")
    return BatchNorm(
        key=key,
        running_mean=parts["running_mean"],
        running_var=parts["running_var"],
        weight=parts.get("weight"),
        bias=parts.get("bias"),
    )


def _is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite, without an array of answers as large as the tensor."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return bool(torch.isfinite(torch.stack(tensor.aminmax())).all())


def _strange(key: str, tensor: Tensor) -> str:
    kind = _WIDER.get(tensor.dim(), "no Linear")
    return f"{key} {shape_of(tensor)}: {tensor.dim()} dimensions, {kind}"


def _listed(key: str, parts: _Parts, names: Iterable[str]) -> str:
    return ", ".join(f"{key}.{name} {shape_of(parts[name])}" for name in names)


def _unfit(state: StateDict, faults: list[str]) -> WeightsError:
    return WeightsError(
        fault_list(f"{state.path} holds another kind of network:", shorten(faults))
        + f"\n{_ALLOWED}"
    )
