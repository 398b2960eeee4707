"""Compile the kernels for GPUs that need not be there.

    python -m tests.training.graphed.compile_kernels sm_80 sm_90

Prints a line for each: its name, the architecture, the constants, how long it took, and the
shared memory that it takes, in bytes.
"""

import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from hpo.training.graphed.epoch import FIRST_OPTIONS, SMALL_OPTIONS
from hpo.training.graphed.kernels.codes import OPTIMIZERS
from hpo.training.graphed.kernels.first import first_pass
from hpo.training.graphed.kernels.small import small_step
from hpo.training.graphed.kernels.updates import update_row
from hpo.training.graphed.kind import BLOCK

# What is no pointer to float32.
_TYPES: Final = {
    "PIXELS": "*u8",
    "NOW": "*i64",
    "NEXT": "*i64",
    "POSITIONS": "*i64",
    "LABELS": "*i64",
    "STREAMS": "*i64",
    "PLACES": "*i32",
    "CODES": "*i32",
}


def main(architectures: list[str]) -> None:
    """Compile every case for every architecture."""
    for kernel, constants in _cases():
        types = dict.fromkeys(constants, "constexpr")
        for name in kernel.arg_names:
            types.setdefault(name, _TYPES.get(name, "*fp32" if name.isupper() else "i32"))
        source = ASTSource(kernel, signature=types, constexprs=constants)
        for architecture in architectures:
            target = GPUTarget("cuda", int(architecture.removeprefix("sm_")), 32)
            start = time.perf_counter()
            compiled = compile(source, target=target, options=_options(kernel, constants))
            assert compiled.asm["cubin"]
            seconds, n_bytes = time.perf_counter() - start, compiled.metadata.shared
            print(kernel.__name__, architecture, constants, f"{seconds:.1f} s", n_bytes)


def _options(kernel: Any, constants: dict[str, Any]) -> dict[str, int]:
    if kernel is small_step:
        return SMALL_OPTIONS
    return FIRST_OPTIONS[constants["IS_BF16"]] if kernel is first_pass else {}


def _cases() -> Iterator[tuple[Any, dict[str, Any]]]:
    step = {"OPTIMIZER": OPTIMIZERS["adam"]}
    for images, units in ((32, 64), (128, 16)):
        shape = step | {"IMAGES": images, "UNITS": units, "BLOCK": BLOCK}
        yield first_pass, shape | {"HAS_NOW": True, "IS_BF16": False}
    shape = step | {"IMAGES": 128, "UNITS": 64, "BLOCK": BLOCK, "IS_BF16": True}
    yield first_pass, shape | {"HAS_NOW": False}
    yield first_pass, shape | {"HAS_NOW": True}
    for code in OPTIMIZERS.values():
        shape = {"IMAGES": 32, "UNITS": 64, "BLOCK": BLOCK, "HAS_NOW": True, "IS_BF16": True}
        yield first_pass, shape | {"OPTIMIZER": code}
    yield update_row, step | {"BLOCK": 1024}
    for images, units in ((16, 16), (32, 64)):
        yield small_step, {"IMAGES": images, "UNITS": units}


if __name__ == "__main__":
    main(sys.argv[1:])
