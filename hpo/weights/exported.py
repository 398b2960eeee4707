"""Weights that `hpo export` wrote: their configuration is known, and nothing has to be assumed.

It stands in the config.json of their folder and, of safetensors, in the file itself: such a file
may be moved elsewhere.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open

from hpo.config import TrainingConfig
from hpo.data import Pixels
from hpo.errors import ConfigError, WeightsError
from hpo.training.device import one_thread
from hpo.training.losses import probabilities
from hpo.training.model import compute_logits, plain_model
from hpo.weights.architecture import find_architecture
from hpo.weights.files import read_state_dict
from hpo.weights.network import Network, Probabilities, finite, in_pieces
from hpo.weights.saving import CONFIG_KEY

CONFIG: Final = "config.json"


@dataclass(frozen=True)
class Description:
    """The configuration that weights were trained with, and what says so."""

    config: TrainingConfig
    source: str


def describe(path: Path) -> Description | None:
    """Find the configuration of a file of weights: in the file, or in the config.json beside it.

    Raises:
        WeightsError: it is there, and no configuration of this version.
    """
    if own := _own_text(path):
        return Description(_read_config(path, own), "The file itself")
    if is_described(path.parent):
        return describe_folder(path.parent)
    return None


def is_described(folder: Path) -> bool:
    """Whether `hpo export` wrote the config.json of a folder."""
    try:
        document = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and isinstance(document.get("config"), dict)


def describe_folder(folder: Path) -> Description:
    """Return what config.json says of all weights in its folder.

    Raises:
        WeightsError: it is damaged, or not from `hpo export`.
    """
    path = folder / CONFIG
    if not is_described(folder):
        raise WeightsError(
            f"{path} is damaged, or not from `hpo export`: export the study again, or give one "
            "file of weights with --input-scale."
        )
    text = json.dumps(json.loads(path.read_text(encoding="utf-8"))["config"])
    return Description(_read_config(path, text), str(path))


def open_described(path: Path, described: Description) -> Network:
    """Open a file of weights as the network of its configuration.

    Raises:
        WeightsError: the file cannot be read, or holds another network.
    """
    config = described.config
    model, state = plain_model(config), read_state_dict(path)
    try:
        model.load_state_dict(dict(state.tensors), strict=True)
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
    )


def _own_text(path: Path) -> str | None:
    """Return what a safetensors file holds of its configuration; damage is told elsewhere."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            found: str | None = (file.metadata() or {}).get(CONFIG_KEY)
    except (SafetensorError, OSError):
        return None
    return found


def _read_config(path: Path, text: str) -> TrainingConfig:
    try:
        return TrainingConfig.from_mapping(json.loads(text))
    except (ConfigError, ValueError) as error:
        raise WeightsError(f"{path}: {error}\nExport the study again.") from None
