"""Counter-based random numbers: a hash of (seed, tags, position), without a generator state.

The numbers of a lane depend only on its seed, the tags (purpose, epoch, layer) and the position:
not on the device, on other lanes, or on earlier computations. The hash is splitmix64 (Steele, Lea,
Flood 2014) in int64 arithmetic, which wraps in the same way on CPU and CUDA.

Functions take one seed per lane, `(lanes,)`; a tag is one number, or one per lane.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import torch

Tag: TypeAlias = int | torch.Tensor

# The first tag of every draw is its purpose, so that no two uses share numbers.
WEIGHTS: Final = 0
ORDER: Final = 1
DROPOUT: Final = 2
AUGMENTATION: Final = 3

GOLDEN_GAMMA: Final = 0x9E3779B97F4A7C15 - 2**64
MIX_1: Final = 0xBF58476D1CE4E5B9 - 2**64
MIX_2: Final = 0x94D049BB133111EB - 2**64

# Hashing n numbers takes a few int64 buffers of n. In pieces, 67 million weights take little
# memory, and a piece stays in the cache. On a GPU every piece is a dozen launches.
_CHUNK: Final = 1 << 16
_CHUNK_OF_GPU: Final = 1 << 22


def seeds_of(*seeds: int, device: torch.device | None = None) -> torch.Tensor:
    """Return seeds as the tensor `(lanes,)` for the functions in this module."""
    return torch.tensor(seeds, dtype=torch.int64, device=device)


def bits(seeds: torch.Tensor, positions: torch.Tensor, *tags: Tag) -> torch.Tensor:
    """Return 64 random bits as int64 `(lanes, positions)`; positions may differ between lanes."""
    return _hash(_stream(seeds, *tags), positions)


def uniform_at(seeds: torch.Tensor, positions: torch.Tensor, *tags: Tag) -> torch.Tensor:
    """Return numbers in [0, 1), float32 `(lanes, positions)`, multiples of 2**-24."""
    return _to_unit(bits(seeds, positions, *tags))


def keep_mask(seeds: torch.Tensor, n: int, drop: torch.Tensor, *tags: Tag) -> torch.Tensor:
    """Return bool `(lanes, n)`: False with the lane's own probability `drop` `(lanes,)`."""
    out = torch.empty(len(seeds), n, dtype=torch.bool, device=seeds.device)
    for columns, numbers in _pieces(seeds, n, *tags):
        out[:, columns] = numbers >= drop[:, None]
    return out


def fill_uniform(out: torch.Tensor, seeds: torch.Tensor, *tags: Tag, bound: float) -> None:
    """Fill float32 `(lanes, n)` with numbers in [-bound, bound), piece by piece."""
    for columns, numbers in _pieces(seeds, out.shape[1], *tags):
        out[:, columns] = (numbers * 2 - 1) * bound


def order(seeds: torch.Tensor, n: int, *tags: Tag) -> torch.Tensor:
    """Return a random permutation of 0 .. n-1 per lane, int64 `(lanes, n)`."""
    return bits(seeds, torch.arange(n, device=seeds.device), *tags).argsort(dim=1, stable=True)


def _stream(seeds: torch.Tensor, *tags: Tag) -> torch.Tensor:
    """Return the key of each lane `(lanes,)`, the origin of the numbers of these tags."""
    key = _mix(seeds * GOLDEN_GAMMA + 1)
    for tag in tags:
        step = (tag + 1) * GOLDEN_GAMMA
        # A tensor wraps by itself; an integer must fit into int64.
        if isinstance(step, int):
            step = (step + 2**63) % 2**64 - 2**63
        key = _mix(key + step)
    # One more round, otherwise position p of these tags would be the key of (*tags, p).
    return _mix(key ^ MIX_2)


def _hash(stream: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return _mix(stream[:, None] + positions * GOLDEN_GAMMA)


def _mix(x: torch.Tensor) -> torch.Tensor:
    x = (x ^ _shift_right(x, 30)) * MIX_1
    x = (x ^ _shift_right(x, 27)) * MIX_2
    return x ^ _shift_right(x, 31)


def _shift_right(x: torch.Tensor, n: int) -> torch.Tensor:
    # int64 shifts extend the sign; the mask makes the shift logical.
    return (x >> n) & ((1 << (64 - n)) - 1)


def _to_unit(x: torch.Tensor) -> torch.Tensor:
    return _shift_right(x, 40).to(torch.float32) * 2.0**-24


def _pieces(seeds: torch.Tensor, n: int, *tags: Tag) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield the numbers of `uniform_at` at 0 .. n-1, some columns at a time."""
    streams, chunk = _stream(seeds, *tags), _CHUNK if seeds.device.type == "cpu" else _CHUNK_OF_GPU
    size = max(1, chunk // len(seeds))
    for start in range(0, n, size):
        positions = torch.arange(start, min(start + size, n), device=seeds.device)
        yield slice(start, start + len(positions)), _to_unit(_hash(streams, positions))
