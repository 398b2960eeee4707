"""Custom models in the engine: plain torch, with the same results alone and among other lanes."""

import dataclasses
import os
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, optim

from hpo import models
from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.errors import ModelError, TrainingError
from hpo.space import open_space, override
from hpo.training import custom
from hpo.training.device import Device
from hpo.training.images import Images
from hpo.training.losses import mean_loss, probabilities
from hpo.training.model import scale_pixels
from hpo.training.pool import Pool
from hpo.training.processes import Processes
from hpo.training.progress import STRESS_EVERY
from hpo.training.randomness import ORDER, order, seeds_of
from hpo.training.stack import open_stack, seconds_per_epoch
from tests.training.together import Job, add, assert_bitwise_equal, train_alone, train_together

CNN = f"{Path(__file__).parents[2] / 'examples' / 'cnn.py'}:cnn"
MODEL, _ = models.open_custom(CNN)
BASE = TrainingConfig(model=MODEL, image_size=16, batch_size=16, epochs=2, weights="average")
SMALL = BASE.replace(depth=1, channels=16)
MLP = TrainingConfig(image_size=16, hidden=(8,), batch_size=16, epochs=STRESS_EVERY + 1)


@pytest.fixture
def named(data: TrainingData) -> TrainingData:
    """The data of a study whose model is named on the command line."""
    return dataclasses.replace(data, code=CNN, is_stressed=True)


def test_a_lane_gives_the_same_results_among_others(named: TrainingData, cpu: Device) -> None:
    jobs = [
        Job(SMALL.replace(dropout=0.5, augment_pose=0.1)),
        Job(SMALL.replace(scheduler="plateau", early_stopping=1, epochs=3, loss="focal"), seed=8),
        Job(MLP),
        Job(SMALL.replace(optimizer="rmsprop"), fold=0),
    ]
    alone = [train_alone(named, job, cpu) for job in jobs]
    torch.rand(3)  # Other random draws do not matter either.
    with closing(open_stack(named, device=cpu)) as stack:
        together = train_together(stack, jobs)
    with closing(Pool(Processes(named, cpu, n_processes=1))) as pool:
        apart = train_together(pool, jobs)
    for results in (together, apart):
        for found, expected in zip(results, alone, strict=True):
            assert_bitwise_equal(found, expected)
    assert len(alone[0].run.stress) == 12
    assert [bool(epoch.stress) for epoch in alone[2].run.epochs].count(True) == 1
    assert seconds_per_epoch(named, SMALL, device=cpu, max_seconds=0.01) > 0


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_training_matches_a_plain_torch_loop(
    named: TrainingData, cpu: Device, optimizer: str
) -> None:
    config = SMALL.replace(
        optimizer=optimizer, dropout=0.0, weights="last", weight_decay=0.01, learning_rate=0.01
    )
    found = train_alone(named, Job(config), cpu)
    network, seeds = custom.open_network(config, CNN, seed=3, device=cpu), seeds_of(3)
    images = Images(named, cpu).place(config, 1)
    made = {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD}[optimizer]
    momentum = {"momentum": 0.9} if optimizer == "sgd" else {}
    book = made(network.parameters(), lr=0.01, weight_decay=0.01, **momentum)
    for epoch in range(2):
        shuffled = images.train[order(seeds, len(images.train), ORDER, epoch)[0]]
        for batch in torch.split(shuffled, config.batch_size):
            pixels = scale_pixels(images.pixels[batch], "unit").view(-1, 1, 16, 16)
            book.zero_grad()
            logits, labels = network.train()(pixels), images.labels[batch]
            mean_loss(config, logits, labels, images.class_weights).backward()
            book.step()
    for name, value in network.state_dict().items():
        np.testing.assert_allclose(found.weights[name], value.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "changes", "idle"),
    [
        ("forest", {"max_depth": 16}, {"learning_rate": 0.1, "epochs": 1, "batch_size": 20}),
        ("linear", {"epochs": 3}, {"optimizer": "sgd", "label_smoothing": 0.1}),
    ],
)
def test_an_estimator_is_trained_by_its_own_rules(
    data: TrainingData, cpu: Device, name: str, changes: dict[str, Any], idle: dict[str, Any]
) -> None:
    model, code = models.open_custom(CNN.replace("cnn.py:cnn", f"forest.py:{name}"))
    data = dataclasses.replace(data, code=code)
    config = TrainingConfig(model=model, image_size=16, batch_size=16, epochs=2)
    if name == "forest":
        config = config.replace(n_estimators=10, epochs=1)
    alone = train_alone(data, Job(config), cpu)
    with closing(open_stack(data, device=cpu)) as stack:
        together = train_together(stack, [Job(config), Job(config.replace(**changes), seed=4)])
    assert_bitwise_equal(together[0], alone)
    assert alone.run.epochs[-1].validation["accuracy"] > 0.7
    assert not np.array_equal(together[1].run.test_probabilities, alone.run.test_probabilities)
    assert config.replace(**changes).identity() != config.identity()
    assert config.replace(**idle).identity() == config.identity()


@pytest.mark.parametrize("n_classes", [2, 3, 40])
def test_probabilities_of_an_estimator_are_used_as_they_are(n_classes: int) -> None:
    space = open_space("chest_xray", CNN.replace("cnn.py:cnn", "forest.py:forest"))
    space = override(space, {"image_size": 16, "n_estimators": 10})
    if n_classes > 2:
        space = override(space, {"outputs": n_classes})
    network = custom.open_network(space.base, space.code)
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((6 * n_classes, 1, 16, 16), np.float32))
    labels = torch.arange(6 * n_classes) % n_classes
    network.fit(images, labels)
    expected = network.estimator.predict_proba(images.flatten(1).numpy())
    found = probabilities(space.base, network(images).double()).numpy()
    if n_classes == 2:
        found = np.stack([1 - found, found], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


TIED = """
from torch import nn

class Tied(nn.Module):
    def __init__(self, *, n_outputs: int, is_shared: bool = False) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(256, 256), nn.Linear(256, n_outputs)
        if is_shared:
            self.second = nn.Linear(256, 256)
            self.second.weight, self.second.bias = self.first.weight, self.first.bias

    def forward(self, x):
        again = getattr(self, "second", self.first)
        self.hidden = again(self.first(x.flatten(1)).relu())  # With its gradient in training.
        return self.last(self.hidden)
"""


def test_a_tensor_that_two_layers_share_is_averaged_once(
    data: TrainingData, cpu: Device, tmp_path: Path
) -> None:
    """The average is that of the same network with one layer used twice."""
    (tmp_path / "tied.py").write_text(TIED)
    model, code = models.open_custom(f"{tmp_path}/tied.py:Tied")
    data = dataclasses.replace(data, code=code)
    one = TrainingConfig(model=model, image_size=16, epochs=3, weights="average")
    one = one.replace(early_stopping=2)
    found = [
        train_alone(data, Job(one.replace(is_shared=is_shared)), cpu).weights
        for is_shared in (False, True)
    ]
    for name, weights in found[0].items():
        np.testing.assert_array_equal(found[1][name], weights)


def test_a_network_that_fails_with_a_seed_or_in_a_process_fails_alone(
    data: TrainingData, cpu: Device, tmp_path: Path
) -> None:
    body = (
        f"    import os\n    is_elsewhere = os.getpid() != {os.getpid()}\n"
        "    if seed == 1 or (seed == 2 and is_elsewhere):\n        1 / 0\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(256, n_outputs))\n"
    )
    model, code = models.open_custom(write(tmp_path, body, "*, n_outputs: int, seed: int"))
    jobs = [Job(TrainingConfig(model=model, image_size=16, epochs=1), seed=n) for n in range(3)]
    data = dataclasses.replace(data, code=code)
    with closing(Pool(Processes(data, cpu, n_processes=1))) as pool:
        with pytest.raises(TrainingError, match="ZeroDivisionError"):
            add(pool, jobs[1])
        good, bad = add(pool, jobs[0]), add(pool, jobs[2])
        while pool.lanes:
            pool.step()
        assert_bitwise_equal(pool.result(good), train_alone(data, jobs[0], cpu))
        with pytest.raises(TrainingError, match="ZeroDivisionError"):
            pool.result(bad)


def test_the_residual_example_gives_logits() -> None:
    assert opened(CNN.replace("cnn.py:cnn", "resnet.py:resnet"))


def write(folder: Path, body: str, signature: str = "*, n_outputs: int") -> str:
    path = folder / "mine.py"
    path.write_text(
        "import random\nimport numpy as np\nimport torch\nfrom torch import nn\n\n"
        f"def mine({signature}):\n{body}"
    )
    return f"{path}:mine"


def opened(code: str) -> nn.Module:
    model, code = models.open_custom(code)
    config = TrainingConfig(model=model, image_size=16)
    return custom.open_network(config, code, device=Device("cpu", "fp32"))


def test_global_generators_are_unchanged_and_prints_go_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = (
        "    torch.manual_seed(1), random.seed(1), np.random.seed(1), print('hello')\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(256, n_outputs))\n"
    )
    code = write(tmp_path, body)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    opened(code)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    return 1 / 0\n", r"mine.py, line 7: return 1 / 0\n  - ZeroDivisionError: division"),
        ("    return torch.zeros(3)\n", r"returns Tensor, not an nn\.Module"),
        ("    return nn.Flatten()\n", r"has no trainable parameters"),
        (
            "    return nn.Sequential(nn.Flatten(), nn.Linear(256, 5))\n",
            r"returns \(2, 5\) for 2 images",
        ),
        ("    return nn.Conv2d(3, n_outputs, 3)\n", r"x\.expand\(-1, 3, -1, -1\)"),
    ],
)
def test_an_unusable_model_is_reported_with_its_own_error(
    tmp_path: Path, body: str, message: str
) -> None:
    with pytest.raises((ModelError, TrainingError), match=message):
        opened(write(tmp_path, body))


def test_model_code_is_not_run_unless_named_and_unchanged(
    data: TrainingData, named: TrainingData, cpu: Device
) -> None:
    with (
        closing(open_stack(data, device=cpu)) as stack,
        pytest.raises(TrainingError, match=r"Name it with --model"),
    ):
        add(stack, Job(SMALL))
    other = SMALL.model_copy(update={"model": MODEL.model_copy(update={"digest": "0" * 32})})
    with (
        closing(open_stack(named, device=cpu)) as stack,
        pytest.raises(TrainingError, match=r"has changed"),
    ):
        add(stack, Job(other))
