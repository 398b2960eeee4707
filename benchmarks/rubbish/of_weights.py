"""Rubbish for the readers of weights: torch files, safetensors, exported folders."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as to_safetensors

from benchmarks.rubbish.attempts import trap
from hpo.config import TrainingConfig
from hpo.training.model import plain_model
from hpo.weights.load import CONFIG_KEY, open_model
from hpo.weights.network import Unseen

_CONFIG = TrainingConfig(hidden=(3,), image_size=8)


def _state() -> dict[str, torch.Tensor]:
    network = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, 3),
        torch.nn.BatchNorm1d(3),
        torch.nn.ReLU(),
        torch.nn.Linear(3, 1),
    )
    return network.state_dict()


def _torch_file(content: object, *, is_zip: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    return file.getvalue()


def torch_seeds() -> list[bytes]:
    return [
        _torch_file(_state()),
        _torch_file(_state(), is_zip=False),
        _torch_file({"state_dict": _state(), "extra": [(1, 2)]}),
        _torch_file({"state_dict": _state(), "extra": trap()}),
        _torch_file(trap(), is_zip=False),
        _torch_file({"1.weight": torch.zeros(1).as_strided((1 << 20, 1 << 20), (0, 0))}),
        *(pickle.dumps(trap(), protocol) for protocol in (0, 2, 4)),
    ]


def safetensors_seeds() -> list[bytes]:
    header = {"1.weight": {"dtype": "F8_E4M3", "shape": [1, 64], "data_offsets": [0, 64]}}
    text = json.dumps(header).ljust(128).encode()
    return [
        to_safetensors(_state()),
        to_safetensors({"9" * 5000 + ".weight": torch.zeros(1, 64)}),
        len(text).to_bytes(8, "little") + text + bytes(64),
    ]


def read_weights(folder: Path, content: bytes) -> None:
    (folder / "w.pt").write_bytes(content)
    for network in open_model(folder / "w.pt", Unseen()):
        network.probabilities(np.zeros((1, network.side, network.side), np.uint8))


def config() -> dict[str, Any]:
    return dict(json.loads(json.dumps(_CONFIG.to_mapping())))


def read_exported(folder: Path, content: bytes) -> None:
    """Read weights whose file contains this configuration."""
    # A plain model is not initialized: it has whatever is in its memory.
    state = plain_model(_CONFIG).state_dict()
    right = {name: torch.ones_like(tensor) for name, tensor in state.items()}
    said = {CONFIG_KEY: content.decode(errors="replace")}
    (folder / "weights-repeat-1.safetensors").write_bytes(to_safetensors(right, metadata=said))
    open_model(folder, None)
