"""The images of one training on its device: all pixels, and the use of each image."""

import hashlib
import warnings
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpo.config import TrainingConfig
from hpo.data import cache
from hpo.data.dataset import Fold, Indices, Pixels, TrainingData
from hpo.errors import TrainingError
from hpo.training import stress
from hpo.training.alignment import SIDE, align, make_template
from hpo.training.device import Device, one_thread
from hpo.training.engine import BATTERY_VERSION, NUMERICS_VERSION

# Images that are read and aligned at once, in pixels.
_PIECE: Final = 1 << 22


@dataclass(frozen=True, kw_only=True)
class LaneData:
    """The images of one lane.

    `pixels` `(images, height * width)` holds pool and test images, `labels` `(pool,)` no test
    label; `class_weights` `(classes,)` are loss factors; `train`, `validation` and `test` are
    positions among the pixels. `source` is the data set, and `fold` its split. `stressed`
    `(changes, pool, height * width)` is the pool under the stress battery, if requested. Aligned
    images have the `template` they are aligned to, and `stressed` then holds only validation
    images.
    """

    pixels: Tensor
    labels: Tensor
    class_weights: Tensor
    train: Tensor
    validation: Tensor
    test: Tensor
    source: TrainingData
    fold: Fold
    stressed: Tensor | None = None
    template: Pixels | None = None

    def under_changes(self) -> dict[str, "LaneData"]:
        """Return the lane's images under each change of the stress battery, as in `stressed`."""
        if self.stressed is None:
            return {}
        changes, places = zip(stress.names(), self.stressed, strict=True), self.validation
        if self.template is not None:
            places = torch.arange(len(places), device=places.device)
        labels = self.labels[self.validation] if self.template is not None else self.labels
        return {
            name: replace(self, pixels=pixels, labels=labels, validation=places)
            for name, pixels in changes
        }


def check_fits(data: TrainingData, config: TrainingConfig, fold: int) -> None:
    """Raise TrainingError if the network is for other classes, or a batch exceeds the training
    images of this fold.
    """
    n_classes, n_train = data.n_classes, len(data.fold(fold).train)
    if max(2, config.n_outputs) != max(2, n_classes):
        raise TrainingError(
            f"The network has {config.n_outputs} outputs, but the data have {n_classes} classes."
        )
    if config.batch_size > n_train:
        raise TrainingError(
            f"batch_size {config.batch_size} exceeds the {n_train} training images of this "
            f"repeat. Leave {config.batch_size} out of the choices of batch_size in the space "
            f"file or in --values: at most {n_train}."
        )


def read_images(
    data: TrainingData, config: TrainingConfig, fold: int
) -> tuple[Pixels, Pixels | None, Pixels | None]:
    """Return pool and test images as used for training, the stress battery, and the template.

    Images are aligned to the mean of the training images of their fold, so that validation and
    test images do not affect it. The battery changes an image first, like another hospital; then
    it is aligned like any other. Everything is cached. Shapes are those of `LaneData`, with
    separate height and width.
    """
    size, split = config.image_size, data.fold(fold)
    pixels = data.pixels_at(size)
    stressed = stress.changed_pixels(data, size) if data.is_stressed else None
    if config.align == "none":
        return pixels, stressed, None
    name = f"{data.fingerprint}-aligned{NUMERICS_VERSION}-{_name(split)}-{size}"
    with one_thread():
        # Indexing copies: the pixels may be mapped read-only.
        [template] = cache.pixels(
            f"{name}-template",
            (1, SIDE, SIDE),
            lambda: iter([make_template(torch.from_numpy(pixels[split.train])).numpy()[None]]),
        )
        goal = torch.from_numpy(template.copy())

        def aligned(name: str, images: Pixels, places: Indices) -> Pixels:
            pieces = np.array_split(places, -(-len(places) * size**2 // _PIECE))
            return cache.pixels(
                name,
                (len(places), size, size),
                lambda: (align(torch.from_numpy(images[p]), goal).numpy() for p in pieces),
            )

        if stressed is not None:
            n_changes, flat = len(stressed), stressed.reshape(-1, size, size)
            places = np.arange(n_changes)[:, None] * data.n_pool + split.validation
            moved = aligned(f"{name}-stress{BATTERY_VERSION}", flat, places.ravel())
            stressed = moved.reshape(n_changes, -1, size, size)
        return aligned(name, pixels, np.arange(len(pixels))), stressed, template


def _name(fold: Fold) -> str:
    """Name a fold by its training images."""
    return hashlib.sha256(fold.train.tobytes()).hexdigest()[:16]


class Images:
    """The images of a data set on one device; each size is loaded once."""

    def __init__(self, data: TrainingData, device: Device) -> None:
        self._data = data
        self._device = device
        self._placed: dict[tuple[int, str], tuple[Tensor, Tensor | None, Pixels | None]] = {}

    def place(self, config: TrainingConfig, fold: int) -> LaneData:
        """Return the images of one lane."""
        check_fits(self._data, config, fold)
        data, split, device = self._data, self._data.fold(fold), self._device.torch
        key = config.image_size, "" if config.align == "none" else _name(split)
        if key not in self._placed:
            images, changed, template = read_images(data, config, fold)
            pixels, stressed = _place(images, self._device), None
            if changed is not None:
                stressed = _place(changed.reshape(-1, *images.shape[1:]), self._device)
                stressed = stressed.view(*changed.shape[:2], -1)
            self._placed[key] = pixels, stressed, template
        pixels, stressed, template = self._placed[key]
        return LaneData(
            pixels=pixels,
            labels=torch.tensor(data.labels, dtype=torch.int64, device=device),
            class_weights=torch.tensor(
                _class_weights(data, config, split), dtype=self._device.dtype, device=device
            ),
            train=torch.tensor(split.train, device=device),
            validation=torch.tensor(split.validation, device=device),
            test=torch.arange(data.n_pool, data.n_pool + data.n_test, device=device),
            source=data,
            fold=split,
            stressed=stressed,
            template=template,
        )

    def clear(self) -> None:
        """Release the memory."""
        self._placed.clear()


def _class_weights(data: TrainingData, config: TrainingConfig, fold: Fold) -> NDArray[np.float64]:
    """Return the factor of each class: if balanced n / (classes * its training images).

    Their mean over the training images is 1, so the best learning rate stays the same.
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
