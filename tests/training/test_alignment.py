"""Aligned images: undone poses, no leakage, and the same bits everywhere."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.data.phantom import draw
from hpo.training import alignment
from hpo.training.alignment import TEMPLATE, align, align_to_each, make_template
from hpo.training.augmentation import change_pose
from hpo.training.device import Device, one_thread
from hpo.training.images import read_images
from hpo.training.stack import open_stack
from hpo.weights.handover import to_program
from hpo.weights.load import CONFIG_KEY, open_model
from tests.training.conftest import Train
from tests.training.together import Job, assert_bitwise_equal, train_alone, train_together

CONFIG = TrainingConfig(image_size=24, hidden=(6,), batch_size=16, epochs=2, align="template")


@pytest.fixture(scope="module")
def chests() -> Tensor:
    """Images of the phantom, uint8 `(16, 64, 64)`."""
    table = draw(0, 64)
    return torch.from_numpy(np.stack([*table.read([row.image for row in table.rows[:800:50]])]))


@pytest.fixture(autouse=True)
def few_threads() -> Iterator[None]:
    with one_thread():
        yield


def difference(images: Tensor, others: Tensor) -> float:
    """Return the mean difference in gray levels, without the border, which may be filled in."""
    inside = slice(12, -12)
    return float((images.float() - others.float())[:, inside, inside].abs().mean())


def test_alignment_undoes_poses_and_ignores_exposure(chests: Tensor) -> None:
    template = make_template(chests)
    straight = align(chests, template)
    for pose in ([0.06, -0.05, 0, 0, 0, 0], [0, 0, 0.08, 0, 0.08, 0], [0, 0, 0, 0, 0, -0.08]):
        poses = torch.tensor([pose]).expand(len(chests), 6)
        moved = change_pose(chests.float(), poses).round().to(torch.uint8)
        assert difference(align(moved, template), straight) < 0.4 * difference(moved, chests)
    # Exposure plays no part: the correlation with the template does not depend on it.
    darker = (chests.float() * 0.6 + 20).round().to(torch.uint8)
    undone = (align(darker, template).float() - 20) / 0.6
    assert difference(undone, straight) < 1.5


def test_alignment_gives_the_same_bits_alone_in_batches_and_on_two_threads(chests: Tensor) -> None:
    template = make_template(chests)
    together = align(chests, template)
    alone = torch.cat([align(chests[n : n + 1], template) for n in range(len(chests))])
    torch.set_num_threads(2)
    on_two = align(chests[::8], template)
    assert torch.equal(alone, together)
    assert torch.equal(on_two, together[::8])
    templates = torch.stack([template, make_template(chests[:5]), template.T])
    to_each = torch.cat([align(chests[:1], one) for one in templates])
    assert torch.equal(align_to_each(chests[:1], templates), to_each)


def test_a_template_depends_only_on_the_training_images_of_its_fold(data: TrainingData) -> None:
    fold, pixels = data.fold(1), data.pixels_at(24).copy()
    pixels[fold.validation] = 255 - pixels[fold.validation]
    pixels[data.n_pool :] = 9
    other = replace(data, fingerprint="others", pixels_at=lambda _: pixels)
    found, _, template = read_images(data, CONFIG, 1)
    changed, _, same = read_images(other, CONFIG, 1)
    assert np.array_equal(template, same)
    assert np.array_equal(found[fold.train], changed[fold.train])
    assert not np.array_equal(read_images(data, CONFIG, 2)[2], template)


def test_lanes_of_every_fold_match_training_alone(data: TrainingData, cpu: Device) -> None:
    data = replace(data, is_stressed=True)
    configs = [CONFIG, CONFIG.replace(align="none"), CONFIG.replace(augment_pose=0.1)]
    jobs = [Job(config, fold=fold) for config in configs for fold in (1, 2)]
    together = train_together(open_stack(data, device=cpu), jobs)
    for job, found in zip(jobs, together, strict=True):
        assert (TEMPLATE in found.weights) == (job.config.align == "template")
        assert_bitwise_equal(found, train_alone(data, job, cpu))


def test_exported_weights_align_images_themselves(
    data: TrainingData, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both hpo and the exported program give the recorded probabilities."""
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(alignment, "_N_STEPS", 2)  # The exported program repeats them.
    config = CONFIG.replace(normalize="image")
    result, images = train(config), data.pixels_at(24)[data.n_pool :]
    file = tmp_path / "weights.safetensors"
    save_file(result.weights, file, metadata={CONFIG_KEY: json.dumps(config.to_mapping())})
    [network] = open_model(file, None)
    predicted = network.probabilities(images).astype(np.float32)
    np.testing.assert_allclose(predicted, result.run.test_probabilities, rtol=1e-6)
    program = torch.export.load(io.BytesIO(to_program([network]))).module()
    alone = [program(torch.from_numpy(image[None].copy())).item() for image in images[:3]]
    np.testing.assert_allclose(alone, predicted[:3], atol=1e-6)
