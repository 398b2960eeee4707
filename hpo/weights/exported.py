"""Weights that `hpo export` wrote: their configuration is known, and nothing has to be assumed.

It stands in the config.json of their folder and, of safetensors, in the file itself: such a file
may be moved elsewhere.
"""

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open

from hpo.config import TrainingConfig
from hpo.data import Pixels
from hpo.errors import ConfigError, WeightsError
from hpo.files import read_json
from hpo.training.device import one_thread
from hpo.training.losses import probabilities
from hpo.training.model import compute_logits, unallocated_model
from hpo.weights.architecture import find_architecture
from hpo.weights.files import StateDict, read_state_dict
from hpo.weights.network import Network, Probabilities, finite, in_pieces
from hpo.weights.saving import BITS_KEY, CONFIG_KEY

CONFIG: Final = "config.json"

_MAX_CONFIG_BYTES: Final = 1_000_000


@dataclass(frozen=True)
class Description:
    """The configuration that weights were trained with, what says so, and `Network.bits`."""

    config: TrainingConfig
    source: str
    bits: int = 0


def describe(path: Path) -> Description | None:
    """Find the configuration of a file of weights: in the file, or in the config.json beside it.

    Raises:
        WeightsError: it is there, and no configuration of this version.
    """
    own = _own_fields(path)
    if own is not None:
        return _read(path, own, "The file itself")
    if is_described(path.parent):
        return describe_folder(path.parent)
    return None


def is_described(folder: Path) -> bool:
    """Whether `hpo export` wrote the config.json of a folder."""
    return _fields(folder / CONFIG) is not None


def describe_folder(folder: Path) -> Description:
    """Return what config.json says of all weights in its folder.

    Raises:
        WeightsError: it is damaged, or not from `hpo export`.
    """
    path = folder / CONFIG
    fields = _fields(path)
    if fields is None:
        raise WeightsError(
            f"{path} is damaged, or not from `hpo export`: export the study again, or give one "
            "file of weights with --input-scale."
        )
    return _read(path, fields, str(path))


def open_described(path: Path, described: Description) -> Network:
    """Open a file of weights as the network of its configuration.

    Raises:
        WeightsError: the file cannot be read, or holds another network.
    """
    config = described.config
    state = read_state_dict(path)
    # It may describe a network that no memory holds: that has none before its weights fit.
    model = unallocated_model(config)
    try:
        model.load_state_dict(_in_float32(state), strict=True, assign=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{path} does not hold the network that {described.source} describes. Export the "
            f"study again, or give the file with --input-scale. {error}"
        ) from None
    model.eval()

    @torch.inference_mode()
    def tell(pixels: Pixels) -> Probabilities:
        with one_thread():
            logits = [compute_logits(model, rows, config) for rows in in_pieces(pixels)]
        return finite(path, probabilities(config, torch.cat(logits)).numpy().astype(float))

    return Network(
        path=path,
        side=config.image_size,
        text=find_architecture(state, config.activation).text,
        notes=(f"{described.source} says how pixels are scaled ({config.normalize}).",),
        probabilities=tell,
        check=lambda _: (),
        at_scales=lambda _: {},
        bits=described.bits,
    )


def _own_fields(path: Path) -> dict[str, Any] | None:
    """Return what a safetensors file says of its configuration; damage is told elsewhere.

    Raises:
        WeightsError: what it says is no configuration.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with safe_open(path, framework="numpy") as file:
            text: str | None = (file.metadata() or {}).get(CONFIG_KEY)
    except (SafetensorError, OSError, ValueError):
        return None
    if text is None:
        return None
    try:
        fields = json.loads(text[:_MAX_CONFIG_BYTES])
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise WeightsError(f"{path}: its configuration is damaged. Export the study again.")
    return fields


def _fields(path: Path) -> dict[str, Any] | None:
    """Return the configuration in a config.json of ours, None where it is none."""
    try:
        document = read_json(path, most=_MAX_CONFIG_BYTES)
    except (OSError, ValueError):
        return None
    fields = document.get("config") if isinstance(document, dict) else None
    return fields if isinstance(fields, dict) else None


def _in_float32(state: StateDict) -> dict[str, torch.Tensor]:
    """Return the tensors as a new network has them: only the counts of BatchNorm are whole.

    They are copied: a product may be rounded otherwise where a tensor lies as it did in a file.
    """
    return {
        key: tensor
        if key.endswith("num_batches_tracked")
        else tensor.detach().to(torch.float32, copy=True)
        for key, tensor in state.tensors.items()
    }


def _read(path: Path, fields: dict[str, Any], source: str) -> Description:
    bits = fields.pop(BITS_KEY, 0)
    try:
        config = TrainingConfig.from_mapping(fields)
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}\nExport the study again.") from None
    return Description(config, source, bits if bits in range(17) else 0)
