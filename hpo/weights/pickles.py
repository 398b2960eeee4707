"""Judging a pickle by its opcodes before anything makes objects of them.

`torch.load(weights_only=True)` runs no code, but what it builds may take time and memory without
bound: tuples that hold one another twice, forty levels deep, take 2^40 steps to be a key.
"""

import io
import pickletools
from typing import IO, Final

MAX_BYTES: Final = 2_000_000

_MOST_PARTS: Final = 100_000
# What a file of torch's older format begins with: a magic number, a version, the system, the
# content and the names of the storages.
_N_LEGACY: Final = 5
_MARK: Final = 0
_PUTS: Final = {"PUT", "BINPUT", "LONG_BINPUT"}
_GETS: Final = {"GET", "BINGET", "LONG_BINGET"}
_TUPLES: Final = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET"}


def check_pickle(content: bytes) -> None:
    """Check the pickle of an archive.

    Raises:
        ValueError: it is damaged, too large, or its tuples hold one another without bound.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"its pickle is larger than {MAX_BYTES / 1e6:.0f} MB")
    _check(io.BytesIO(content))


def check_legacy(file: IO[bytes]) -> None:
    """Check the pickles that a file of the older format begins with, as `check_pickle` does."""
    start = io.BytesIO(file.read(MAX_BYTES))
    for _ in range(_N_LEGACY):
        _check(start)


def _check(file: IO[bytes]) -> None:
    """Follow the stack and the memo, with a number of parts in the place of each object."""
    stack: list[int] = []
    memo: dict[int, int] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in _PUTS and isinstance(argument, int):
            memo[argument] = stack[-1] if stack else 1
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = stack[-1] if stack else 1
        elif opcode.name in _GETS and isinstance(argument, int):
            stack.append(memo.get(argument, 1))
        elif opcode.name == "MARK":
            stack.append(_MARK)
        elif opcode.name == "DUP":
            stack += stack[-1:]
        else:
            n_parts = _take(stack, opcode)
            if opcode.name not in _TUPLES:
                n_parts = 0  # Lists, dictionaries and tensors are no keys.
            elif n_parts > _MOST_PARTS:
                raise ValueError("its tuples hold one another without bound")
            stack += [1 + n_parts] * len(opcode.stack_after)


def _take(stack: list[int], opcode: pickletools.OpcodeInfo) -> int:
    """Take from the stack what an opcode takes, and return the number of its parts."""
    n_parts = 0
    if pickletools.markobject in opcode.stack_before:
        while stack and (parts := stack.pop()) != _MARK:
            n_parts += parts
    slices = (pickletools.markobject, pickletools.stackslice)
    for _ in [taken for taken in opcode.stack_before if taken not in slices]:
        n_parts += stack.pop() if stack else 0
    return n_parts
