"""Running a network that was read from weights, in evaluation mode: without Dropout."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hpo.config import Activation, Normalize
from hpo.data import Pixels
from hpo.errors import WeightsError
from hpo.option_texts import INPUT_SCALES, read_mean_and_deviation
from hpo.training.device import one_thread
from hpo.training.memory import EVALUATION_PIXELS
from hpo.training.model import ACTIVATIONS, scale_pixels
from hpo.weights.architecture import Architecture, Step, find_architecture
from hpo.weights.files import read_state_dict
from hpo.weights.layers import BatchNorm, Linear

Probabilities: TypeAlias = NDArray[np.float64]

_NORMALIZE: Final[dict[str, Normalize]] = {"unit": "unit", "raw": "none", "image": "image"}
_SCALE_WORDS: Final = {
    "unit": "pixels / 255",
    "raw": "pixels 0..255",
    "symmetric": "pixels / 127.5 - 1",
    "image": "(pixels - mean) / deviation of each image",
}
_SYMMETRIC: Final = "0.5,0.5"
# Whole scripts agree on these: the names, -0.5..0.5, and the gray mean of ImageNet.
_USUAL: Final = (*INPUT_SCALES, "0.5,1", "0.449,0.226")

# nn.BatchNorm1d's own, which weights do not tell.
_EPSILON: Final = 1e-5
_N_CHECKED: Final = 256


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """What weights do not tell of their network and of the script around it.

    `has_sigmoid` says that the network ended in a Sigmoid and its output was taken for a logit all
    the same, by a loss or by a second sigmoid, as in report A. `input_scale` is one of
    `hpo.option_texts.INPUT_SCALES`, or the mean and deviation of pixels / 255 as "0.48,0.24".
    """

    input_scale: str = "unit"
    activation: Activation = "relu"
    has_sigmoid: bool = False


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that tells the probability of pneumonia of images `(n, side, side)`.

    `notes` say what was found and assumed; `check(pixels)` what these images tell against it.
    `bits` are those in use in the 16-bit images it was trained on, 0 where that is not known.
    `probabilities` raises WeightsError where the network gives no number. `at_scales` tells those
    at every usual input scale, its own first; nothing where that scale is on record.
    """

    path: Path
    side: int
    text: str
    notes: tuple[str, ...]
    probabilities: Callable[[Pixels], Probabilities]
    check: Callable[[Pixels], Sequence[str]]
    at_scales: Callable[[Pixels], dict[str, Probabilities]]
    bits: int = 0


def open_network(path: Path, unseen: Unseen) -> Network:
    """Read a file of weights and find its network from the shapes.

    Raises:
        WeightsError: the file cannot be read, or holds another kind of network.
    """
    state = read_state_dict(path)
    found = find_architecture(state, unseen.activation)
    return Network(
        path=path,
        side=found.side,
        text=found.text + " -> Sigmoid" * unseen.has_sigmoid,
        notes=(*state.notes, *found.assumed, *_assumed(found, unseen)),
        probabilities=lambda pixels: finite(path, _probabilities(found, unseen, pixels)),
        check=lambda pixels: list(_check_scale(found, unseen, pixels)),
        at_scales=lambda pixels: {
            scale: _probabilities(found, replace(unseen, input_scale=scale), pixels)
            for scale in dict.fromkeys((unseen.input_scale, *_USUAL))
        },
    )


def _input_text(scale: str) -> str:
    """Say what a network takes at an input scale: `pixels / 255`."""
    if scale in _SCALE_WORDS:
        return _SCALE_WORDS[scale]
    return "(pixels / 255 - {}) / {}".format(*scale.split(","))


def in_pieces(pixels: Pixels) -> Iterator[Tensor]:
    """Yield images as uint8 rows `(some, height * width)`, as many as training reads at once.

    The same pieces round alike: exported weights give the recorded numbers again.
    """
    size = max(1, EVALUATION_PIXELS // (pixels.shape[1] * pixels.shape[2]))
    for start in range(0, len(pixels), size):
        piece = np.array(pixels[start : start + size])
        yield torch.from_numpy(piece.reshape(len(piece), -1))


def finite(path: Path, told: Probabilities) -> Probabilities:
    """Return probabilities that are numbers.

    Raises:
        WeightsError: values overflow on the way through the network.
    """
    n_lost = int((~np.isfinite(told)).sum())
    if n_lost:
        raise WeightsError(
            f"{path} gives no number for {n_lost} of {len(told)} images: its values overflow. Is "
            "the input scale right (--input-scale)?"
        )
    return told


@torch.inference_mode()
def _probabilities(found: Architecture, unseen: Unseen, pixels: Pixels) -> Probabilities:
    with one_thread():
        logits = [_logits(found, unseen, rows) for rows in in_pieces(pixels)]
    outputs = torch.cat(logits).to(torch.float64)
    if unseen.has_sigmoid:
        outputs = outputs.sigmoid()
    log_odds = outputs[:, 0] if found.n_outputs == 1 else outputs[:, 1] - outputs[:, 0]
    # In float64 a probability is above 0.5 exactly where the second output is the higher one.
    probabilities: Probabilities = log_odds.sigmoid().numpy()
    return probabilities


def _logits(found: Architecture, unseen: Unseen, rows: Tensor) -> Tensor:
    values = _scaled(rows, unseen.input_scale)
    for step in found.steps:
        values = _take(step, values)
    return values


def _scaled(rows: Tensor, scale: str) -> Tensor:
    if scale in _NORMALIZE:
        return scale_pixels(rows, _NORMALIZE[scale])
    mean, deviation = read_mean_and_deviation(_SYMMETRIC if scale == "symmetric" else scale)
    return (scale_pixels(rows, "unit") - mean) / deviation


def _take(step: Step, values: Tensor) -> Tensor:
    if isinstance(step, Linear):
        return F.linear(values, step.weight, step.bias)
    if isinstance(step, BatchNorm):
        return F.batch_norm(
            values, step.running_mean, step.running_var, step.weight, step.bias, eps=_EPSILON
        )
    activated: Tensor = ACTIVATIONS[step]()(values)
    return activated


def _assumed(found: Architecture, unseen: Unseen) -> Iterator[str]:
    yield f"Input: {_input_text(unseen.input_scale)} (--input-scale {unseen.input_scale})."
    if unseen.has_sigmoid:
        yield "A Sigmoid behind the last Linear, and another on top of it (--has-sigmoid)."
    elif found.n_outputs == 1:
        yield (
            "The probability is the sigmoid of the one output, once, whether or not the network "
            "itself ended in a Sigmoid: weights do not tell."
        )
    else:
        yield "The probability is the softmax of the two outputs, the second being pneumonia."


@torch.inference_mode()
def _check_scale(found: Architecture, unseen: Unseen, pixels: Pixels) -> Iterator[str]:
    """Compare what the first BatchNorm sees with the variance it saw in training.

    A wrong scale is off by 255 squared. Half of that, on a log scale, tells one from the other.
    """
    first, second = found.steps[0], found.steps[1] if len(found.steps) > 1 else None
    if not (isinstance(first, Linear) and isinstance(second, BatchNorm)) or len(pixels) < 2:
        return
    some = pixels[np.linspace(0, len(pixels) - 1, min(len(pixels), _N_CHECKED)).astype(int)]
    rows = torch.cat(list(in_pieces(some)))
    values = _take(first, _scaled(rows, unseen.input_scale))
    ratio = float((values.var(0) / second.running_var.clamp(min=_EPSILON)).median())
    likely = "unit" if ratio > 255 else "raw" if ratio < 1 / 255 else None
    if likely and likely != unseen.input_scale:
        yield (
            f"The first BatchNorm saw values of another size in training: these weights seem to "
            f"be made for {_input_text(likely)}. Try --input-scale {likely}."
        )
