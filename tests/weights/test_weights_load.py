"""Folders that `hpo export` wrote: config.json says what weights do not."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from hpo.config import TrainingConfig
from hpo.errors import UsageError, WeightsError
from hpo.training.engine import Weights
from hpo.training.losses import probabilities
from hpo.training.model import compute_logits, plain_model
from hpo.weights import Unseen, open_model
from hpo.weights.load import CONFIG_KEY

SIDE = 8
FILES = ("weights-repeat-0.pt", "weights-repeat-1.pt")
PIXELS = np.random.default_rng(1).integers(0, 256, (20, SIDE, SIDE), dtype=np.uint8)

CONFIG = TrainingConfig(hidden=(6, 5), image_size=SIDE)


def export(folder: Path, config: TrainingConfig) -> None:
    """Write a configuration's folder with two repeats in both formats."""
    (folder / "config.json").write_text(json.dumps({"config": config.to_mapping()}))
    for repeat, name in enumerate(FILES):
        weights = weights_of(network_of(config, repeat))
        torch.save({n: torch.from_numpy(value) for n, value in weights.items()}, folder / name)
        save_file(weights, (folder / name).with_suffix(".safetensors"))


def network_of(config: TrainingConfig, seed: int) -> torch.nn.Sequential:
    network = plain_model(config)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in network:
            if isinstance(module, torch.nn.Linear | torch.nn.BatchNorm1d):
                module.reset_parameters()
    return network.eval()


def weights_of(network: torch.nn.Sequential) -> Weights:
    return {name: value.numpy() for name, value in network.state_dict().items()}


@torch.no_grad()
def recorded(config: TrainingConfig, seed: int) -> np.ndarray:
    """Return what a training would put on record."""
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
def test_every_repeat_tells_the_recorded_probabilities_to_the_bit(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    config = CONFIG.replace(**changes)
    export(tmp_path, config)
    for suffix in (".safetensors", ".pt"):  # Of both in one folder the first is taken.
        networks = open_model(tmp_path, None)
        assert [n.path.name for n in networks] == [f"weights-repeat-{r}{suffix}" for r in (0, 1)]
        for repeat, network in enumerate(networks):
            told = network.probabilities(PIXELS).astype(np.float32)
            np.testing.assert_array_equal(told, recorded(config, repeat))
            assert network.side == SIDE
            network.path.unlink()


def test_a_file_is_read_by_the_config_beside_it_unless_options_are_given(tmp_path: Path) -> None:
    config = CONFIG.replace(normalize="none")
    export(tmp_path, config)
    path = tmp_path / "weights-repeat-1.pt"
    (beside,) = open_model(path, None)
    assert "config.json says" in beside.notes[0]
    told = beside.probabilities(PIXELS).astype(np.float32)
    np.testing.assert_array_equal(told, recorded(config, 1))
    (other,) = open_model(path, Unseen(input_scale="unit"))
    assert np.abs(other.probabilities(PIXELS) - told).max() > 0.01
    path.with_name("config.json").write_text('{"model_type": "of another program"}')
    (alone,) = open_model(path, None)
    np.testing.assert_array_equal(alone.probabilities(PIXELS), other.probabilities(PIXELS))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "damaged"),
        ("[" * 100_000, "damaged"),
        ('{"config": {"hidden": "many"}}', "hidden"),
        ('{"config": {"hidden": [6, 6], "image_size": 8}}', "does not hold the network"),
        (None, "damaged"),
    ],
)
def test_a_config_that_is_damaged_or_of_another_network_is_refused(
    tmp_path: Path, text: str | None, words: str
) -> None:
    export(tmp_path, CONFIG)
    with pytest.raises(UsageError, match=r"config\.json says what --input-scale"):
        open_model(tmp_path, Unseen())
    config = tmp_path / "config.json"
    config.unlink()
    if text is None:
        os.mkfifo(config)  # A pipe is not waited for.
    else:
        config.write_text(text)
    with pytest.raises(WeightsError, match=words):
        open_model(tmp_path, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="hpo export STUDY --all"):
        open_model(tmp_path / "empty", None)


def test_safetensors_say_their_configuration_wherever_they_lie(tmp_path: Path) -> None:
    config = CONFIG.replace(normalize="none", activation="tanh")
    path = tmp_path / "moved.safetensors"
    metadata = {CONFIG_KEY: json.dumps(config.to_mapping())}
    save_file(weights_of(network_of(config, 3)), path, metadata=metadata)
    (network,) = open_model(path, None)
    told = network.probabilities(PIXELS).astype(np.float32)
    np.testing.assert_array_equal(told, recorded(config, 3))
    assert network.notes == ("The file itself says how pixels are scaled (none).",)
    (other,) = open_model(path, Unseen())
    assert "Activation: relu" in " ".join(other.notes)
    save_file(load_file(path), path, metadata={CONFIG_KEY: '{"swirl": 3}'})
    with pytest.raises(WeightsError, match="Export the study again"):
        open_model(path, None)
