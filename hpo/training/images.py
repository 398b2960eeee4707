"""The images of one training on its device: all pixels, and which of them are for what."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpo.config import TrainingConfig
from hpo.data.dataset import Fold, Pixels, TrainingData
from hpo.errors import TrainingError
from hpo.training import stress
from hpo.training.device import Device


@dataclass(frozen=True, kw_only=True)
class LaneData:
    """The images of one lane.

    `pixels` `(images, height * width)` holds pool and test images, `labels` `(pool,)` no test
    label; `class_weights` `(classes,)` are factors of the loss of their images; `train`,
    `validation` and `test` are positions among the pixels. `fold` and `known_labels` say the same
    to numpy. `stressed` `(changes, pool, height * width)` is the pool under the stress battery,
    where it is asked for. `code` is as in `TrainingData`.
    """

    pixels: Tensor
    labels: Tensor
    class_weights: Tensor
    train: Tensor
    validation: Tensor
    test: Tensor
    fold: Fold
    known_labels: NDArray[np.uint8]
    stressed: Tensor | None = None
    code: str | None = None

    def under_changes(self) -> dict[str, "LaneData"]:
        """Return the lane's images under each change of the stress battery, the pool alone."""
        if self.stressed is None:
            return {}
        changes = zip(stress.names(), self.stressed, strict=True)
        return {name: replace(self, pixels=pixels) for name, pixels in changes}


def check_fits(data: TrainingData, config: TrainingConfig, fold: int) -> None:
    """Raise a TrainingError where the network is one for other classes, or a batch is larger than
    the training images of this fold.
    """
    n_classes, n_train = data.n_classes, len(data.fold(fold).train)
    if max(2, config.n_outputs) != max(2, n_classes):
        raise TrainingError(
            f"The network has {config.n_outputs} outputs, but the data have {n_classes} classes."
        )
    if config.batch_size > n_train:
        raise TrainingError(
            f"batch_size {config.batch_size} is more than the {n_train} training images of this "
            f"repeat. Leave {config.batch_size} out of the choices of batch_size in the space "
            f"file or in --values: at most {n_train}."
        )


class Images:
    """The images of a data set on one device, each size placed there once."""

    def __init__(self, data: TrainingData, device: Device) -> None:
        self._data = data
        self._device = device
        self._pixels: dict[int, Tensor] = {}
        self._stressed: dict[int, Tensor] = {}

    def place(self, config: TrainingConfig, fold: int) -> LaneData:
        """Return the images of one lane."""
        check_fits(self._data, config, fold)
        data, split, device = self._data, self._data.fold(fold), self._device.torch
        size = config.image_size
        if size not in self._pixels:
            self._pixels[size] = _place(data.pixels_at(size), self._device)
        if data.is_stressed and size not in self._stressed:
            changed = stress.changed_pixels(data, size)
            placed = _place(changed.reshape(-1, size, size), self._device)
            self._stressed[size] = placed.view(len(changed), data.n_pool, -1)
        return LaneData(
            pixels=self._pixels[size],
            labels=torch.tensor(data.labels, dtype=torch.int64, device=device),
            class_weights=torch.tensor(
                _class_weights(data, config, split), dtype=self._device.dtype, device=device
            ),
            train=torch.tensor(split.train, device=device),
            validation=torch.tensor(split.validation, device=device),
            test=torch.arange(data.n_pool, data.n_pool + data.n_test, device=device),
            fold=split,
            known_labels=data.labels,
            stressed=self._stressed.get(size),
            code=data.code,
        )

    def clear(self) -> None:
        """Give back the memory."""
        self._pixels.clear()
        self._stressed.clear()


def _class_weights(data: TrainingData, config: TrainingConfig, fold: Fold) -> NDArray[np.float64]:
    """Return the factor of each class: of balanced ones n / (classes * its training images).

    Their mean over the training images is 1, so that no other learning rate suits them.
    """
    if config.class_weight == "none":
        return np.ones(data.n_classes)
    counts = np.bincount(data.labels[fold.train], minlength=data.n_classes)
    return np.asarray(len(fold.train) / (data.n_classes * counts))


def _place(pixels: Pixels, device: Device) -> Tensor:
    """Return images on the device, uint8 `(images, height * width)`; shared on the CPU."""
    with warnings.catch_warnings():
        # Shared pixels may be read-only, which torch cannot express; nothing writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(pixels.reshape(len(pixels), -1)).to(device.torch)
