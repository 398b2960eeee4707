"""The folders that `hpo export` writes: config.json tells what weights do not."""

import re
from pathlib import Path
from typing import Any, Final

import torch

from hpo.config import TrainingConfig
from hpo.data import Pixels
from hpo.errors import ConfigError, UsageError, WeightsError
from hpo.files import read_json
from hpo.training.device import one_thread
from hpo.training.losses import probabilities
from hpo.training.model import compute_logits, plain_model
from hpo.weights.architecture import find_architecture
from hpo.weights.files import StateDict, is_folder, read_state_dict
from hpo.weights.network import Network, Probabilities, Unseen, finite, in_pieces, open_network

CONFIG: Final = "config.json"

_MAX_CONFIG_BYTES: Final = 1_000_000

_REPEAT: Final = re.compile(r"weights-repeat-(\d+)\.(safetensors|pt)")


def open_model(path: Path, unseen: Unseen | None) -> tuple[Network, ...]:
    """Open a file of weights, or every repeat of a folder that `hpo export` wrote.

    A file in such a folder is read by the folder's config.json too. With `unseen` its network is
    found from the shapes instead.

    Raises:
        UsageError: `unseen` for a folder, whose config.json says all of it.
        WeightsError: no weights there, or weights that cannot be read.
    """
    if is_folder(path):
        if unseen is not None:
            raise UsageError(
                f"{path / CONFIG} says what --input-scale, --activation and --has-sigmoid say: "
                "leave them out, or give one file of weights."
            )
        config = _read_config(path / CONFIG)
        return tuple(_open_exported(file, config) for file in _repeats(path))
    if unseen is None and _is_ours(path.parent / CONFIG):
        return (_open_exported(path, _read_config(path.parent / CONFIG)),)
    return (open_network(path, unseen or Unseen()),)


def _repeats(folder: Path) -> list[Path]:
    """Return a file of weights per repeat, in order: safetensors where there are both."""
    found: dict[int, Path] = {}
    for file in sorted(folder.iterdir()):
        if match := _REPEAT.fullmatch(file.name):
            found[int(match[1])] = file  # In order of their names, .safetensors comes last.
    if not found:
        raise WeightsError(
            f"{folder} holds no weights-repeat-N.safetensors or .pt. `hpo export STUDY --weights "
            "all` writes them for every configuration."
        )
    return [found[repeat] for repeat in sorted(found)]


def _is_ours(path: Path) -> bool:
    return _fields(path) is not None


def _fields(path: Path) -> dict[str, Any] | None:
    """Return the configuration in a config.json of ours, None where it is none."""
    try:
        document = read_json(path, most=_MAX_CONFIG_BYTES)
    except (OSError, ValueError):
        return None
    fields = document.get("config") if isinstance(document, dict) else None
    return fields if isinstance(fields, dict) else None


def _read_config(path: Path) -> TrainingConfig:
    if not path.is_file():
        raise WeightsError(
            f"{path.parent} holds no {CONFIG}: give a file of weights, or a folder of one "
            "configuration that `hpo export` wrote."
        )
    fields = _fields(path)
    if fields is None:
        raise WeightsError(
            f"{path} is damaged, or not from `hpo export`: export the study again, or give one "
            "file of weights with --input-scale."
        )
    try:
        return TrainingConfig.from_mapping(fields)
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}\nExport the study again.") from None


def _in_float32(state: StateDict) -> dict[str, torch.Tensor]:
    """Return the tensors as a new network has them: only the counts of BatchNorm are whole."""
    return {
        key: tensor if key.endswith("num_batches_tracked") else tensor.detach().float()
        for key, tensor in state.tensors.items()
    }


def _open_exported(path: Path, config: TrainingConfig) -> Network:
    state = read_state_dict(path)
    with torch.device("meta"):  # It may describe a network that no memory holds.
        model = plain_model(config)
    try:
        model.load_state_dict(_in_float32(state), strict=True, assign=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{path} does not hold the network that {path.parent / CONFIG} describes. Export the "
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
        notes=(f"{path.parent / CONFIG} says how pixels are scaled ({config.normalize}).",),
        probabilities=tell,
        check=lambda _: (),
    )
