"""A .npy array of images, read one at a time and without trusting what its header says."""

import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Final, NamedTuple

import numpy as np

from hpo.data.dataset import Pixels

_READERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# A header may claim to be 4 GB long. That of an array of images has 128 bytes.
_LONGEST: Final = 12_000
_MAX_FORTRAN_BYTES: Final = 1_000_000_000


class Header(NamedTuple):
    """Type and shape of an array, and where in its file the values begin."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    is_fortran: bool
    offset: int

    @property
    def n_bytes(self) -> int:
        """How many bytes the values take."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def is_too_large(self) -> bool:
        """Whether one image cannot be had without the others, which are more than is read."""
        return self.is_fortran and self.n_bytes > _MAX_FORTRAN_BYTES

    def __str__(self) -> str:
        return f"{self.dtype} of shape {self.shape}"


def read_header(file: IO[bytes]) -> Header:
    """Read the header at the beginning of a file, which is left anywhere behind it.

    Raises:
        ValueError: this is no header, or its shape is none of an array.
        OSError: the file cannot be read.
    """
    start = io.BytesIO(file.read(_LONGEST))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Headers that Python 2 wrote.
            reader = _READERS[np.lib.format.read_magic(start)]
            shape, is_fortran, dtype = reader(start)
    except Exception:  # NumPy's parser raises whatever a header makes it stumble over.
        raise ValueError("is no plain array file, or is damaged: its header makes no sense") from (
            None
        )
    if not all(type(n) is int and 0 <= n < 1 << 62 for n in shape):
        raise ValueError("is damaged: its header tells a shape that no array has")
    return Header(dtype, shape, is_fortran, start.tell())


def read_images(file: IO[bytes], header: Header) -> Iterator[Pixels]:
    """Yield the images `(height, width, …)` of an array whose file stands behind the header.

    With the last one, an archive compares its checksum.

    Raises:
        EOFError: the file is cut short.
    """
    n_images, *shape = header.shape
    if header.is_fortran:
        values = np.frombuffer(read_bytes(file, header.n_bytes), np.uint8)
        yield from values.reshape(header.shape, order="F")
        return
    for left in reversed(range(n_images)):
        values = np.frombuffer(read_bytes(file, math.prod(shape), is_last=not left), np.uint8)
        yield values.reshape(shape)


def read_bytes(file: IO[bytes], n_bytes: int, *, is_last: bool = True) -> bytes:
    """Read so many bytes; of an archive's member, reading on behind the last compares a checksum.

    Raises:
        EOFError: there are fewer.
    """
    content = file.read(n_bytes)
    if len(content) < n_bytes:
        raise EOFError("it is cut short")
    if is_last:
        file.read(1)
    return content


def pick(
    counts: Mapping[str, int],
    positions: Sequence[int],
    read: Callable[[str], Iterator[Pixels]],
) -> Iterator[Pixels]:
    """Yield images of several arrays, with one of them in memory at a time.

    `counts` names the arrays in their order, `read` reads the images of one from the first on.

    Raises:
        EOFError: an array has fewer images than it had.
    """
    rows = [(name, i) for name, n in counts.items() for i in range(n)]
    current, at = "", 0
    images: Iterator[Pixels] = iter(())
    for position in positions:
        name, i = rows[position]
        if name != current or i < at:
            images, current, at = read(name), name, 0
        image = next(islice(images, i - at, None), None)
        if image is None:
            raise EOFError("it is cut short")
        yield image
        at = i + 1
