"""Weights written by `hpo export`: the file contains the configuration."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from hpo.config import TrainingConfig
from hpo.errors import WeightsError
from hpo.training.losses import probabilities
from hpo.training.model import compute_logits, plain_model
from hpo.weights.load import CONFIG_KEY, open_model
from hpo.weights.network import Unseen

SIDE = 8
PIXELS = np.random.default_rng(1).integers(0, 256, (20, SIDE, SIDE), dtype=np.uint8)

CONFIG = TrainingConfig(hidden=(6, 5), image_size=SIDE)


def export(path: Path, config: TrainingConfig, seed: int, **fields: object) -> None:
    """Write the weights of a training as an export does."""
    metadata = {CONFIG_KEY: json.dumps(config.to_mapping() | fields)}
    state = network_of(config, seed).state_dict()
    save_file({name: value.numpy() for name, value in state.items()}, path, metadata=metadata)


def network_of(config: TrainingConfig, seed: int) -> torch.nn.Sequential:
    network = plain_model(config)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in network:
            if isinstance(module, torch.nn.Linear | torch.nn.BatchNorm1d):
                module.reset_parameters()
    return network.eval()


@torch.no_grad()
def recorded(config: TrainingConfig, seed: int) -> np.ndarray:
    """Return the probabilities that a training would record."""
    rows = torch.from_numpy(PIXELS.reshape(len(PIXELS), -1))
    return probabilities(config, compute_logits(network_of(config, seed), rows, config)).numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"normalize": "none"},
        {"normalize": "image", "activation": "tanh"},
        {"loss": "bce", "outputs": 2},
        {"loss": "ce", "batch_norm": False, "dropout": 0.0},
    ],
)
def test_every_repeat_predicts_the_recorded_probabilities_to_the_bit(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    config = CONFIG.replace(**changes)
    for repeat in (1, 2):
        export(tmp_path / f"weights-repeat-{repeat}.safetensors", config, repeat)
    for repeat, network in enumerate(open_model(tmp_path, None), start=1):
        assert network.path.name == f"weights-repeat-{repeat}.safetensors"
        predicted = network.probabilities(PIXELS).astype(np.float32)
        np.testing.assert_array_equal(predicted, recorded(config, repeat))
        assert network.side == SIDE
        assert network.notes[0].startswith("The file itself defines how pixels are scaled")


def test_options_override_the_configuration_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "moved.safetensors"
    export(path, CONFIG.replace(normalize="none", activation="tanh"), 3)
    (other,) = open_model(path, Unseen())
    assert "Activation: relu" in " ".join(other.notes)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"swirl": 3}, "Export the study again"),
        ({"hidden": "many"}, "hidden"),
        ({"hidden": [6, 6]}, "does not contain the network"),
        ({"classes": ["one"]}, "its own classes"),
        ({"threshold": "high"}, "its own classes, threshold"),
        ({"bits": 99}, "threshold or bits"),
    ],
)
def test_a_file_with_a_wrong_configuration_is_refused(
    tmp_path: Path, fields: dict[str, object], words: str
) -> None:
    export(tmp_path / "weights.safetensors", CONFIG, 0, **fields)
    with pytest.raises(WeightsError, match=words):
        open_model(tmp_path, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="hpo export STUDY --all"):
        open_model(tmp_path / "empty", None)
