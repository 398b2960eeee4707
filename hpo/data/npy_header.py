"""The header of a .npy array, read without trusting what it says."""

import io
import math
import warnings
from typing import IO, Final, NamedTuple

import numpy as np

_READERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# A header may claim to be 4 GB long. That of an array of images has 128 bytes.
_LONGEST: Final = 12_000


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
