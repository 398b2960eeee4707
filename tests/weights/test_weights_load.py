"""Folders that `hpo export` wrote: config.json says what weights do not."""

import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from safetensors.numpy import save, save_file

from hpo.config import TrainingConfig
from hpo.errors import UsageError, WeightsError
from hpo.training.engine import Weights
from hpo.training.losses import probabilities
from hpo.training.model import compute_logits, plain_model
from hpo.weights import Unseen, open_model
from hpo.weights.export import CONFIG_KEY, network_script, to_safetensors_file, to_torch_file

SIDE = 8
FILES = ("weights-repeat-0.pt", "weights-repeat-1.pt")
PIXELS = np.random.default_rng(1).integers(0, 256, (20, SIDE, SIDE), dtype=np.uint8)

Export: TypeAlias = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Write a configuration's folder with two repeats in both formats."""

    def export(
        config: TrainingConfig, *, suffixes: tuple[str, ...] = ("safetensors", "pt")
    ) -> Path:
        folder = tmp_path / "000_base"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"config": config.to_mapping()}))
        for repeat in (0, 1):
            weights = weights_of(network_of(config, repeat))
            path = folder / f"weights-repeat-{repeat}"
            if "safetensors" in suffixes:
                save_file(weights, path.with_suffix(".safetensors"))
            if "pt" in suffixes:
                path.with_suffix(".pt").write_bytes(to_torch_file(weights))
        return folder

    return export


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


CONFIG = TrainingConfig(hidden=(6, 5), image_size=SIDE)


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
    export: Export, changes: dict[str, str]
) -> None:
    config = CONFIG.replace(**changes)
    folder = export(config)
    for suffix in (".safetensors", ".pt"):  # Of both in one folder the first is taken.
        networks = open_model(folder, None)
        assert [n.path.name for n in networks] == [f"weights-repeat-{r}{suffix}" for r in (0, 1)]
        for repeat, network in enumerate(networks):
            told = network.probabilities(PIXELS).astype(np.float32)
            np.testing.assert_array_equal(told, recorded(config, repeat))
            assert network.side == SIDE
            network.path.unlink()


def test_a_file_is_read_by_the_config_beside_it_unless_options_are_given(export: Export) -> None:
    config = CONFIG.replace(normalize="none")
    path = export(config) / "weights-repeat-1.pt"
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
    export: Export, text: str | None, words: str
) -> None:
    config = export(CONFIG, suffixes=("pt",)) / "config.json"
    with pytest.raises(UsageError, match=r"config\.json says what --input-scale"):
        open_model(config.parent, Unseen())
    config.unlink()
    if text is None:
        os.mkfifo(config)  # A pipe is not waited for.
    else:
        config.write_text(text)
    with pytest.raises(WeightsError, match=words):
        open_model(config.parent, None)
    shutil.rmtree(config.parent)
    config.parent.mkdir()
    with pytest.raises(WeightsError, match="hpo export STUDY --weights all"):
        open_model(config.parent, None)


def test_safetensors_say_their_configuration_wherever_they_lie(tmp_path: Path) -> None:
    config = CONFIG.replace(normalize="none", activation="tanh")
    path = tmp_path / "moved.safetensors"
    path.write_bytes(to_safetensors_file(weights_of(network_of(config, 3)), config))
    (network,) = open_model(path, None)
    told = network.probabilities(PIXELS).astype(np.float32)
    np.testing.assert_array_equal(told, recorded(config, 3))
    assert network.notes == ("The file itself says how pixels are scaled (none).",)
    (other,) = open_model(path, Unseen())
    assert "Activation: relu" in " ".join(other.notes)


def test_a_configuration_of_another_version_in_a_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "moved.safetensors"
    path.write_bytes(
        save(weights_of(network_of(CONFIG, 0)), metadata={CONFIG_KEY: '{"swirl": 3}'})
    )
    with pytest.raises(WeightsError, match="Export the study again"):
        open_model(path, None)


@pytest.mark.parametrize(
    "changes",
    [{"activation": "leaky_relu"}, {"loss": "ce"}, {"loss": "bce", "outputs": 2}],
)
def test_the_script_averages_the_probabilities_of_every_file_beside_it_without_hpo(
    export: Export, changes: dict[str, str]
) -> None:
    config = CONFIG.replace(**changes)
    script = export(config) / "network.py"
    text = network_script(config, FILES)
    assert "import hpo" not in text
    assert "from hpo" not in text
    names: dict[str, Any] = {"__file__": str(script)}
    exec(text, names)
    assert isinstance(names["network"], torch.nn.Sequential)
    found = names["ensemble"](torch.from_numpy(PIXELS).float() / 255)
    expected = (recorded(config, 0) + recorded(config, 1)) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="its memory is not told")
def test_a_network_that_no_memory_holds_is_said_without_asking_for_it(export: Export) -> None:
    folder = export(CONFIG, suffixes=("pt",))
    huge = TrainingConfig(hidden=(4096,) * 8, image_size=1024)
    (folder / "config.json").write_text(json.dumps({"config": huge.to_mapping()}))
    n_used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (n_used + (4 << 30), hard))
    try:
        with pytest.raises(WeightsError, match="does not hold the network"):
            open_model(folder, None)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
