"""Reading the tensors of a file of weights, and never running what it holds.

torch's own files are zip archives or pickles. `torch.load(weights_only=True)` reads tensors and
plain containers out of them with an unpickler of its own; a file that needs any other Python
object is refused, for to make one is to call code that the file names.
"""

import os
import pickle
import re
import stat
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hpo.errors import WeightsError
from hpo.weights.pickles import MAX_BYTES as PICKLE_BYTES
from hpo.weights.pickles import check_legacy, check_pickle

# As float32, which they are computed with. Reading takes little more than that.
MAX_BYTES: Final = 1_200_000_000
MAX_TENSORS: Final = 1_000

_LONGEST_HEADER: Final = 100_000_000
_LONGEST_KEY: Final = 200
_LONGEST_REASON: Final = 300
_DTYPES: Final = {
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.bool,
}

_STATE_KEYS: Final = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
_SAVE_AGAIN: Final = (
    "Where the network was made, save its tensors alone: torch.save(model.state_dict(), FILE)."
)
_COPY_AGAIN: Final = "Copy or download it again."
_ALLOWED: Final = "a state dict saved by torch.save, or safetensors"


@dataclass(frozen=True, kw_only=True)
class StateDict:
    """The tensors of a file by their keys, as they stand in it; `notes` say where they lay."""

    path: Path
    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def read_state_dict(path: Path) -> StateDict:
    """Read the state dict of a file, whole or under a common key of a checkpoint.

    Raises:
        WeightsError: no such file; empty, damaged or too large; code; no state dict in it.
    """
    state = _find_state(path, _reader_of(path)(path))
    if len(state.tensors) > MAX_TENSORS:
        raise WeightsError(
            f"{path} holds {len(state.tensors):,} tensors; at most {MAX_TENSORS:,} are read: is "
            f"this the file? {_SAVE_AGAIN}"
        )
    for key, tensor in state.tensors.items():
        _check_tensor(path, key, tensor)
    n_bytes = sum(t.numel() * max(4, t.element_size()) for t in state.tensors.values())
    if n_bytes > MAX_BYTES:
        raise _too_large(path, n_bytes)
    return state


def is_folder(path: Path) -> bool:
    """Whether a folder is there; a path that cannot be is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _reader_of(path: Path) -> Callable[[Path], object]:
    """Tell by its first bytes how to read a file; its name may say anything."""
    if is_folder(path):
        raise WeightsError(f"{path} is a folder: give one file of weights, {_ALLOWED}.")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise WeightsError(f"{path} is no ordinary file. Give {_ALLOWED}.")
        with path.open("rb") as file:
            head = file.read(9)
            n_bytes = file.seek(0, os.SEEK_END)
    except OSError as problem:
        raise WeightsError(
            f"{path} cannot be read: {problem.strerror}. Give {_ALLOWED}."
        ) from None
    if not n_bytes:
        raise WeightsError(f"{path} is empty. {_COPY_AGAIN}")
    if n_bytes > MAX_BYTES:
        raise _too_large(path, n_bytes)
    if head.startswith(b"PK\x03\x04"):
        return _read_zip
    # The length of the header comes first, and may begin with the byte that a pickle begins with.
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") < _LONGEST_HEADER:
        return _read_safetensors
    if head.startswith(b"\x80"):
        return _read_legacy
    raise WeightsError(f"{path} holds no weights that can be read. Give {_ALLOWED}.")


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as problem:
        raise WeightsError(
            f"{path} is cut short or no safetensors file: {_reason(problem)}. {_COPY_AGAIN}"
        ) from None


def _read_zip(path: Path) -> object:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(path, archive.infolist())
            for name in archive.namelist():
                if name.endswith("data.pkl"):
                    check_pickle(archive.read(name))
    except WeightsError:
        raise
    except Exception as problem:  # Archives are damaged, encrypted, … in any way.
        raise _damaged(path, problem) from None
    return _read_torch(path)


def _check_entries(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Check an archive before anything is unpacked: a small one may hold a large one."""
    n_bytes = sum(entry.file_size for entry in entries)
    if n_bytes > MAX_BYTES:
        raise _too_large(path, n_bytes)
    pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
    if not pickles:
        raise WeightsError(f"{path} is an archive without weights. Give {_ALLOWED}.")
    if any(entry.filename.endswith("constants.pkl") for entry in entries):
        raise WeightsError(f"{path} is a TorchScript program, which is not run. {_SAVE_AGAIN}")
    if any(entry.file_size > PICKLE_BYTES for entry in pickles):
        raise WeightsError(
            f"{path} holds more than {PICKLE_BYTES / 1e6:.0f} MB beside its tensors: is this the "
            f"file? {_SAVE_AGAIN}"
        )


def _read_legacy(path: Path) -> object:
    try:
        with path.open("rb") as file:
            check_legacy(file)
    except Exception as problem:  # As above.
        raise WeightsError(
            f"{path} is cut short, damaged or a pickle that torch.save did not write: "
            f"{_reason(problem)}. Nothing in it was run. {_COPY_AGAIN} {_SAVE_AGAIN}"
        ) from None
    return _read_torch(path)


def _damaged(path: Path, problem: Exception) -> WeightsError:
    return WeightsError(f"{path} is cut short or damaged: {_reason(problem)}. {_COPY_AGAIN}")


def _reason(problem: Exception) -> str:
    return str(problem).partition("\n")[0][:_LONGEST_REASON] or type(problem).__name__


def _read_torch(path: Path) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as problem:
            raise _refused(path, str(problem)) from None
        except Exception as problem:  # The unpickler stumbles over damage in any way.
            raise WeightsError(
                f"{path} is cut short or damaged ({type(problem).__name__}). {_COPY_AGAIN}"
            ) from None


def _refused(path: Path, problem: str) -> WeightsError:
    named = re.search(r"GLOBAL ([\w.]+)", problem)
    what = f"the Python object {named[1]}" if named else "a pickle of Python objects"
    return WeightsError(
        f"{path} holds {what}. To read it is to run code from the file: it is refused, and "
        f"nothing in it was run. {_SAVE_AGAIN}"
    )


def _find_state(path: Path, content: object) -> StateDict:
    if _is_state(content):
        return StateDict(path=path, tensors=content)  # type: ignore[arg-type]
    if isinstance(content, Mapping):
        for key in _STATE_KEYS:
            if _is_state(content.get(key)):
                note = f"The weights lie under the key {key} of a checkpoint."
                return StateDict(path=path, tensors=content[key], notes=(note,))
        # A key may be a tuple that takes hours to write.
        names = [key[:_LONGEST_KEY] if isinstance(key, str) else str(type(key)) for key in content]
        found = ascii(", ".join(sorted(names)[:8]))[1:-1] or "nothing"
        raise WeightsError(
            f"{path} holds no state dict: neither itself nor under {', '.join(_STATE_KEYS)}. It "
            f"holds {found}. {_SAVE_AGAIN}"
        )
    raise WeightsError(f"{path} holds a {type(content).__name__}, no state dict. {_SAVE_AGAIN}")


def _is_state(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    )


def _check_tensor(path: Path, key: str, tensor: Tensor) -> None:
    """Refuse a tensor without ordinary numbers in memory: sparse, quantized, complex, meta."""
    if len(key) > _LONGEST_KEY or not key.isprintable():
        raise WeightsError(
            f"{path} calls a tensor {key[:_LONGEST_KEY]!a}, which is none of a network. "
            f"{_SAVE_AGAIN}"
        )
    is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not is_plain or tensor.dtype not in _DTYPES:
        raise WeightsError(
            f"{path}: {key} is a {tensor.layout} tensor of {tensor.dtype} on "
            f"{tensor.device.type}. Save it as an ordinary one: value.to_dense().float().cpu()."
        )


def _too_large(path: Path, n_bytes: int) -> WeightsError:
    return WeightsError(
        f"{path} holds {n_bytes / 1e9:,.1f} GB; at most {MAX_BYTES / 1e9:.1f} GB are read. A "
        f"network for X-rays of 256 x 256 pixels has some MB: is this the file? {_SAVE_AGAIN}"
    )
