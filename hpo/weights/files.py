"""Reading the tensors of a weights file without running its content.

torch's own files are zip archives or pickles. `torch.load(weights_only=True)` reads tensors and
plain containers from them with its own unpickler. A file that needs any other Python object is
refused, because creating one means calling code named by the file.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from hpo.errors import WeightsError

# As float32, in which they are computed. Reading takes little more than that.
MAX_BYTES: Final = 1_200_000_000
MAX_TENSORS: Final = 1_000

_MAX_PICKLE_BYTES: Final = 2_000_000
_LONGEST_HEADER: Final = 100_000_000
_LONGEST_TEXT: Final = 300
_DTYPES: Final = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
}

_STATE_KEYS: Final = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
_SAVE_AGAIN: Final = (
    "Where the network was created, save only its tensors: torch.save(model.state_dict(), FILE)."
)
_ALLOWED: Final = "Use a state dict saved by torch.save, or safetensors."


def read_tensors(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Read the state dict of a file, possibly under a common key of a checkpoint, and notes.

    Raises:
        WeightsError: the file is missing, empty, damaged, too large, or without a state dict.
    """
    tensors, notes = _find_state(path, _read(path))
    if len(tensors) > MAX_TENSORS:
        raise WeightsError(
            f"{path} contains {len(tensors):,} tensors; the limit is {MAX_TENSORS:,}. Is this the "
            f"right file? {_SAVE_AGAIN}"
        )
    for key, tensor in tensors.items():
        # Sparse, quantized, complex and meta tensors have no ordinary numbers in memory.
        is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not is_plain or tensor.dtype not in _DTYPES:
            raise WeightsError(
                f"{path}: {key} is a {tensor.layout} tensor of {tensor.dtype} on "
                f"{tensor.device.type}. Save an ordinary one: value.to_dense().float().cpu()."
            )
    _check_size(path, sum(t.numel() * max(4, t.element_size()) for t in tensors.values()))
    return tensors, notes


def _read(path: Path) -> object:
    """Read a file by its first bytes, not by its name."""
    try:
        if path.exists() and not path.is_file():  # A pipe would block.
            raise WeightsError(f"{path} is not a regular file. {_ALLOWED}")
        with path.open("rb") as file:
            head = file.read(9)
        n_bytes = path.stat().st_size
    except OSError as problem:
        raise WeightsError(f"{path} cannot be read: {problem.strerror}. {_ALLOWED}") from None
    _check_size(path, n_bytes)
    try:
        # The header length comes first, and may start with the byte of a pickle.
        if head[8:] == b"{" and int.from_bytes(head[:8], "little") < _LONGEST_HEADER:
            return load_file(path)
        if head.startswith(b"PK\x03\x04"):
            _check_archive(path)
        elif not head.startswith(b"\x80"):
            fault = "contains no weights that can be read" if n_bytes else "is empty"
            raise WeightsError(f"{path} {fault}. {_ALLOWED}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError as problem:
        match = re.search(r"GLOBAL ([\w.]+)", str(problem))
        content = f"the Python object {match[1]}" if match else "a pickle of Python objects"
        raise WeightsError(
            f"{path} contains {content}. Reading it would run code from the file, so it is "
            f"refused, and nothing in it was run. {_SAVE_AGAIN}"
        ) from None
    except Exception as problem:  # Readers raise errors of any kind for damaged files.
        reason = str(problem).partition("\n")[0][:_LONGEST_TEXT] or type(problem).__name__
        raise WeightsError(
            f"{path} is truncated, damaged or was not written by torch.save: {reason}. Nothing in "
            f"it was run. Copy or download it again. {_SAVE_AGAIN}"
        ) from None


def _check_archive(path: Path) -> None:
    """Check an archive before unpacking: a small one may expand to a large one."""
    with zipfile.ZipFile(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    _check_size(path, sum(sizes.values()))
    if sum(size for name, size in sizes.items() if name.endswith(".pkl")) > _MAX_PICKLE_BYTES:
        raise WeightsError(
            f"{path} contains more than {_MAX_PICKLE_BYTES / 1e6:.0f} MB besides tensors. Is this "
            f"the right file? {_SAVE_AGAIN}"
        )


def _find_state(path: Path, content: Any) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    if _is_state(content):
        return dict(content), ()
    parts = content if isinstance(content, Mapping) else {}
    for key in _STATE_KEYS:
        if _is_state(parts.get(key)):
            return dict(parts[key]), (f"The weights are under the key {key} of a checkpoint.",)
    keys = ", ".join(sorted(key for key in parts if isinstance(key, str)))[:_LONGEST_TEXT]
    raise WeightsError(
        f"{path} contains no state dict, neither itself nor under {', '.join(_STATE_KEYS)}. It "
        f"contains {keys or f'a {type(content).__name__}'}. {_SAVE_AGAIN}"
    )


def _is_state(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    )


def _check_size(path: Path, n_bytes: int) -> None:
    if n_bytes > MAX_BYTES:
        raise WeightsError(
            f"{path} contains {n_bytes / 1e9:,.1f} GB; the limit is {MAX_BYTES / 1e9:.1f} GB. Is "
            f"this the right file? {_SAVE_AGAIN}"
        )
