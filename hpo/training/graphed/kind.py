"""What is fixed in a graph: trainings of one kind differ in numbers only, which it reads anew."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from hpo.config import Activation, Loss, Normalize, Optimizer
from hpo.training.stacked.lane import Lane
from hpo.training.stacked.layout import Layout, fill_up

# What one multiprocessor of any GPU since 2020 has room for: units, and images times units.
_WIDEST_SMALL: Final = 128
_MOST_SMALL: Final = 4096

# Programs that share a pass over the first weights. It must depend on nothing but the training:
# the shares of a product are added up in their order.
_PROGRAMS: Final = 128
_FEWEST: Final = 16
_UNITS: Final = 64
BLOCK: Final = 64
# Of float32 a program has half the room: images times units.
_MOST_FLOATS: Final = 2048
_MOST_IMAGES: Final = 128


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Shapes and operations of a training. `n_train` are the images of its fold."""

    image_size: int
    batch_size: int
    n_train: int
    hidden: tuple[int, ...]
    batch_norm: bool
    activation: Activation
    loss: Loss
    n_outputs: int
    optimizer: Optimizer
    has_momentum: bool
    normalize: Normalize
    is_bf16: bool
    is_flipped: bool
    is_warped: bool
    is_exposed: bool

    @property
    def n_pixels(self) -> int:
        """The inputs of the network."""
        return self.image_size**2

    @cached_property
    def batches(self) -> tuple[int, ...]:
        """The sizes of the batches. One of a single image is not trained on."""
        n_whole, rest = divmod(self.n_train, self.batch_size)
        return (self.batch_size,) * n_whole + ((rest,) if rest > 1 else ())

    @property
    def n_images(self) -> int:
        """The images of a batch, filled up to what kernels can multiply."""
        return fill_power(self.batch_size)

    @property
    def n_units(self) -> int:
        """The units of the widest hidden layer, filled up likewise."""
        return fill_power(max(map(fill_up, self.hidden)))

    @property
    def is_augmented(self) -> bool:
        """Whether images are changed."""
        return self.is_flipped or self.is_warped or self.is_exposed

    @property
    def is_served(self) -> bool:
        """Whether there are kernels for it: a larger batch has no room in a program."""
        return self.n_images <= _MOST_IMAGES and bool(self.batches)

    @property
    def is_small(self) -> bool:
        """Whether one program can train all layers behind the first product."""
        is_narrow = self.n_units <= _WIDEST_SMALL
        return is_narrow and self.n_images * self.n_units <= _MOST_SMALL


@dataclass(frozen=True, kw_only=True)
class Division:
    """How programs share a pass over the first weights: each some units, and some pixels."""

    units: int
    n_columns: int
    n_splits: int


def kind_of(lane: Lane) -> Kind:
    """Return the kind of a training."""
    config = lane.config
    return Kind(
        image_size=config.image_size,
        batch_size=config.batch_size,
        n_train=len(lane.data.train),
        hidden=config.hidden,
        batch_norm=config.batch_norm,
        activation=config.activation,
        loss=config.loss,
        n_outputs=config.n_outputs,
        optimizer=config.optimizer,
        has_momentum=config.momentum > 0,
        normalize=config.normalize,
        is_bf16=lane.device.precision == "bf16",
        is_flipped=config.augment_flip,
        is_warped=config.is_warped,
        is_exposed=config.augment_exposure > 0,
    )


def divide(kind: Kind, layout: Layout) -> Division:
    """Return how programs share the first weights of a kind."""
    units = min(_UNITS, fill_power(layout.filled[0]))
    if not kind.is_bf16:
        units = max(_FEWEST, min(units, _MOST_FLOATS // kind.n_images))
    n_columns = -(-layout.filled[0] // units)
    n_blocks = -(-kind.n_pixels // BLOCK)
    return Division(
        units=units,
        n_columns=n_columns,
        n_splits=max(1, min(n_blocks, _PROGRAMS // n_columns)),
    )


def fill_power(n: int) -> int:
    """Return the next power of two that a product of matrices can have as a side."""
    return max(_FEWEST, 1 << (n - 1).bit_length())
