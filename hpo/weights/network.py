"""The network of the tensors in a file, and its probabilities.

`nn.Sequential` numbers its modules from 0, and the tensors of a module are called NUMBER.NAME.
Modules without tensors (Flatten, activations, Dropout) appear as missing numbers. A nested network
has a prefix before the number (`net.1.weight`), and so has one under DataParallel (`module.`).
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hpo.choices import Activation, Normalize, read_mean_and_deviation
from hpo.config import MAX_SIDE, MIN_SIDE, MOST_CLASSES, TrainingConfig
from hpo.data.dataset import CLASS_NAMES, Pixels
from hpo.errors import WeightsError, fault_list
from hpo.training import custom, losses
from hpo.training.alignment import TEMPLATE, align
from hpo.training.device import EVALUATION_PIXELS, one_thread
from hpo.training.model import ACTIVATIONS, compute_logits, scale_pixels
from hpo.weights.files import read_tensors

Probabilities: TypeAlias = NDArray[np.float64]
_Layer: TypeAlias = nn.Linear | nn.BatchNorm1d

_KEY: Final = re.compile(r"(?P<prefix>.*\.)?(?P<number>[0-9]{1,9})\.(?P<name>[^.]+)")
_STATISTICS: Final = {"running_mean", "running_var", "num_batches_tracked"}
_MOST_FAULTS: Final = 20
_LONGEST_TEXT: Final = 300
_ALLOWED: Final = (
    "Supported is an nn.Sequential of Linear and BatchNorm1d with activations and Dropout "
    "between them, as in the reports."
)

_NORMALIZE: Final[dict[str, Normalize]] = {"unit": "unit", "raw": "none", "image": "image"}
_SCALE_WORDS: Final = {
    "unit": "pixels / 255",
    "raw": "pixels 0..255",
    "symmetric": "pixels / 127.5 - 1",
    "image": "(pixels - mean) / deviation of each image",
}


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """Facts about a network and its script that weights do not contain.

    `has_sigmoid` is true if the network ended in a Sigmoid and its output was nevertheless treated
    as a logit, by a loss or a second sigmoid, as in report A. `input_scale` is one of
    `hpo.choices.INPUT_SCALES`, or the mean and deviation of pixels / 255 as "0.48,0.24".
    """

    input_scale: str = "unit"
    activation: Activation = "relu"
    has_sigmoid: bool = False


def read_unseen(
    input_scale: str | None, activation: Activation | None, has_sigmoid: bool
) -> Unseen | None:
    """Return the options about a network, None if there are none."""
    unseen = Unseen(
        input_scale=input_scale or "unit", activation=activation or "relu", has_sigmoid=has_sigmoid
    )
    return unseen if input_scale or activation or has_sigmoid else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A network in evaluation mode for images `(n, side, side)`.

    `settings` is the configuration it was trained with, or assumptions if that is unknown; `notes`
    list findings and assumptions. `bits` is the used depth of the 16-bit images it was trained on,
    0 if unknown; `class_names` belong to its outputs; `is_phantom` is true if it was trained on
    synthetic images. Images are aligned to `template` if there is one. With two classes, a
    probability above `threshold` means the second.
    """

    path: Path
    model: nn.Sequential
    settings: TrainingConfig | Unseen
    side: int
    notes: tuple[str, ...]
    bits: int = 0
    class_names: tuple[str, ...] = CLASS_NAMES
    template: Tensor | None = None
    threshold: float = 0.5
    is_phantom: bool = False

    @property
    def text(self) -> str:
        """The modules as written by torch; for a custom model its file."""
        if isinstance(self.settings, TrainingConfig) and (custom := self.settings.model):
            return f"{custom.entry}({', '.join(f'{n}={v!r}' for n, v in custom.params.items())})"
        names = {type(make()): name for name, make in ACTIVATIONS.items()}
        words = ["Flatten"]
        for module in self.model:
            if isinstance(module, nn.Linear):
                words.append(f"Linear({module.in_features}, {module.out_features})")
            elif isinstance(module, nn.BatchNorm1d):
                words.append(f"BatchNorm1d({module.num_features})")
            elif type(module) in names:
                words.append(names[type(module)])
        if isinstance(self.settings, Unseen) and self.settings.has_sigmoid:
            words.append("Sigmoid")
        return " -> ".join(words)

    def logits(self, images: Tensor) -> Tensor:
        """Return the outputs `(n, outputs)` for uint8 images `(n, side, side)`."""
        return self.of_aligned(images if self.template is None else align(images, self.template))

    def of_aligned(self, images: Tensor) -> Tensor:
        """Return the outputs for images that are aligned if there is a template."""
        settings, rows = self.settings, images.flatten(1)
        if isinstance(settings, Unseen):
            outputs: Tensor = self.model(_scaled(rows, settings.input_scale))
            return outputs
        return (custom.read if settings.model else compute_logits)(self.model, rows, settings)

    def of_logits(self, z: Tensor) -> Tensor:
        """Return the probabilities of outputs, in float64.

        They are above 0.5 exactly if the second of two outputs is higher.
        """
        if isinstance(self.settings, TrainingConfig):
            return losses.probabilities(self.settings, z).double()
        z = z.double().sigmoid() if self.settings.has_sigmoid else z.double()
        return z.softmax(-1) if z.shape[-1] > 2 else losses.log_odds(z).sigmoid()

    @torch.inference_mode()
    def probabilities(self, pixels: Pixels) -> Probabilities:
        """Return the probability of the second of two classes `(n,)`, or of all `(n, K)`.

        The images are split into the same pieces as in training, which affect rounding, so that
        exported weights reproduce the recorded numbers.

        Raises:
            WeightsError: values overflow in the network.
        """
        settings, size = self.settings, max(1, EVALUATION_PIXELS // self.side**2)
        if isinstance(settings, TrainingConfig) and settings.model:
            size = custom.piece_of(settings)
        with one_thread():
            pieces = torch.split(torch.from_numpy(np.array(pixels)), size)
            output = self.of_logits(torch.cat([self.logits(piece) for piece in pieces]))
        if n_lost := int((~output.view(len(output), -1).isfinite().all(1)).sum()):
            raise WeightsError(
                f"{self.path} returns no number for {n_lost} of {len(output)} images: values "
                "overflow. Is the input scale right (--input-scale)?"
            )
        probabilities: Probabilities = output.numpy()
        return probabilities


def open_network(path: Path, unseen: Unseen) -> Network:
    """Read a weights file and infer its network from the shapes.

    Raises:
        WeightsError: the file cannot be read, or holds another kind of network.
    """
    tensors, notes = read_tensors(path)
    prefix, modules = _modules(path, tensors)
    layers: dict[int, _Layer] = {}
    faults = []
    for number, parts in sorted(modules.items()):
        try:
            layers[number] = _layer(parts)
        except (ValueError, RuntimeError) as problem:
            named = ", ".join(f"{prefix}{number}.{n} {tuple(t.shape)}" for n, t in parts.items())
            # torch names each missing, unexpected or unfit tensor on a line after the first.
            reason = str(problem).partition("\n\t")[2].replace("\n\t", " ") or str(problem)
            faults.append(f"{named}: {reason}")
    if faults := faults or list(_faults(prefix, layers)):
        summary = f"{path} contains an unsupported network:"
        raise WeightsError(f"{fault_list(summary, faults[:_MOST_FAULTS])}\n{_ALLOWED}")
    model, assumed = _assemble(layers, unseen)
    _, n_outputs = _sizes(layers[max(layers)])
    ignored = [f"Every key starts with {prefix}, which is ignored."] if prefix else []
    return Network(
        path=path,
        model=model,
        settings=unseen,
        side=math.isqrt(_sizes(layers[min(layers)])[0]),
        notes=(*notes, *ignored, *assumed, *_ends(unseen, n_outputs)),
        class_names=CLASS_NAMES
        if n_outputs <= 2
        else tuple(f"class {k}" for k in range(n_outputs)),
    )


def _scaled(rows: Tensor, scale: str) -> Tensor:
    if scale in _NORMALIZE:
        return scale_pixels(rows, _NORMALIZE[scale])
    mean, deviation = read_mean_and_deviation("0.5,0.5" if scale == "symmetric" else scale)
    return (scale_pixels(rows, "unit") - mean) / deviation


def _modules(
    path: Path, tensors: Mapping[str, Tensor]
) -> tuple[str, dict[int, dict[str, Tensor]]]:
    """Return the common prefix of the keys, and the tensors of each module by its number.

    Raises:
        WeightsError: the keys are not those of one nn.Sequential.
    """
    modules = defaultdict[int, dict[str, Tensor]](dict)
    prefixes = set()
    for key, tensor in tensors.items():
        if match := _KEY.fullmatch(key):
            modules[int(match["number"])][match["name"]] = tensor
        prefixes.add((match["prefix"] or "") if match else None)
    prefix = prefixes.pop()
    if TEMPLATE in tensors:
        raise WeightsError(
            f"{path} belongs to a study, which records its network. Name the study instead, "
            "or a folder that `hpo export STUDY` wrote."
        )
    if prefix is None or prefixes:
        shown = ", ".join(list(tensors)[:6])[:_LONGEST_TEXT]
        raise WeightsError(
            f"{path}: the keys {shown}, … are not those of one nn.Sequential (1.weight, 1.bias, "
            "2.running_mean, …), so the order of the layers is unknown. Build the same layers as "
            "one nn.Sequential, give it these tensors, and save its state_dict()."
        )
    return prefix, modules


def _layer(parts: Mapping[str, Tensor]) -> _Layer:
    """Return the layer with these tensors, in float32.

    Raises:
        ValueError, RuntimeError: the tensors are invalid.
    """
    values = {}
    for name, value in parts.items():
        if name != "num_batches_tracked" and not value.is_floating_point():
            raise ValueError(f"{name} contains {value.dtype}, not floats")
        values[name] = value.detach().to(torch.float32)
        if not values[name].isfinite().all():
            raise ValueError(f"{name} contains values that are not finite")
    layer: _Layer
    weight = values.get("weight")
    if _STATISTICS & values.keys():
        n = max(value.numel() for value in values.values())
        layer = nn.BatchNorm1d(n, affine=weight is not None, device="meta")
    elif weight is not None and weight.dim() == 2 and weight.numel():
        n_outputs, n_inputs = weight.shape
        layer = nn.Linear(n_inputs, n_outputs, bias="bias" in values, device="meta")
    else:
        raise ValueError("neither a Linear nor a BatchNorm1d with running_mean and running_var")
    layer.load_state_dict(values, assign=True)
    return layer


def _sizes(layer: _Layer) -> tuple[int, int]:
    """Return the numbers of inputs and outputs of a layer."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return layer.num_features, layer.num_features


def _faults(prefix: str, layers: Mapping[int, _Layer]) -> Iterator[str]:
    """Yield the layers that do not fit the images, each other, or the classes."""
    steps = []
    for number, layer in layers.items():
        key, value = next(iter(layer.state_dict().items()))
        steps.append((f"{prefix}{number}.{key} {tuple(value.shape)}", *_sizes(layer)))
    first, n_pixels, _ = steps[0]
    side = math.isqrt(n_pixels)
    if side**2 != n_pixels or not MIN_SIDE <= side <= MAX_SIDE:
        yield (
            f"{first} takes {n_pixels:,} values, but supported are square gray images of "
            f"{MIN_SIDE} x {MIN_SIDE} to {MAX_SIDE} x {MAX_SIDE} pixels"
        )
    for (previous, _, n_out), (layer_text, n_in, _) in pairwise(steps):
        if n_out != n_in:
            yield f"{layer_text} takes {n_in:,} values, but {previous} before it returns {n_out:,}"
    last, _, n_outputs = steps[-1]
    if not isinstance(layers[max(layers)], nn.Linear) or n_outputs > MOST_CLASSES:
        yield (
            f"{last} is the last and returns {n_outputs:,} values, but must be a Linear with 1 "
            f"output, or one for each of 2 to {MOST_CLASSES} classes"
        )


def _assemble(layers: Mapping[int, _Layer], unseen: Unseen) -> tuple[nn.Sequential, list[str]]:
    """Put an activation into the first gap after each Linear but the last; return also a note."""
    modules: list[nn.Module] = [nn.Flatten()]
    activated: list[str] = []
    is_due = False
    for number, following in zip_longest(layers, list(layers)[1:], fillvalue=0):
        modules.append(layers[number])
        is_due = is_due or isinstance(layers[number], nn.Linear)
        if is_due and following > number + 1:
            modules.append(ACTIVATIONS[unseen.activation]())
            activated.append(str(number))
            is_due = False
    at = f"module{'s' * (len(activated) > 1)} {', '.join(activated)}"
    note = f"Activation: {unseen.activation}, after {at}. Weights do not store it."
    return nn.Sequential(*modules).eval(), [note] * bool(activated)


def _ends(unseen: Unseen, n_outputs: int) -> tuple[str, str]:
    """Describe the scale of the pixels and the meaning of the outputs."""
    scale = unseen.input_scale
    text = _SCALE_WORDS.get(scale) or "(pixels / 255 - {}) / {}".format(*scale.split(","))
    if unseen.has_sigmoid:
        end = "The network ends in a Sigmoid, and a second sigmoid is applied (--has-sigmoid)."
    elif n_outputs == 1:
        end = (
            "The probability is the sigmoid of the one output, once, whether or not the network "
            "itself ended in a Sigmoid, which weights do not store."
        )
    elif n_outputs == 2:
        end = "The probability is that of the second output in a softmax of both."
    else:
        end = f"The probabilities are the softmax of the {n_outputs} outputs."
    return f"Input: {text} (--input-scale {scale}).", end
