"""Probabilities for image files; a broken one does not stop the others."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo.data.images import resize
from hpo.weights import Unseen, open_network, predict
from tests.weights.conftest import SIDE, Save, reports_network

PIXELS = np.random.default_rng(2).integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8)


def test_each_file_has_the_mean_of_its_repeats_and_a_broken_one_its_problem(
    save: Save, tmp_path: Path
) -> None:
    networks = [
        open_network(save(reports_network(n).state_dict(), f"{n}.pt"), Unseen()) for n in (1, 2)
    ]
    files = [tmp_path / f"{i}.png" for i in range(4)]
    for file, image in zip(files, PIXELS, strict=False):
        Image.fromarray(image).save(file)
    files[1].write_bytes(files[1].read_bytes()[:40])
    told = list(predict(networks, files))
    assert [one.file for one in told] == files
    assert [one.problem is None for one in told] == [True, False, True, False]
    assert str(files[1]) in str(told[1].problem)
    assert (told[1].probability, told[1].repeats) == (None, ())
    for place in (0, 2):
        repeats = [network.probabilities(PIXELS[place : place + 1])[0] for network in networks]
        assert told[place].repeats == tuple(repeats)
        assert told[place].probability == pytest.approx(sum(repeats) / 2)


def test_a_large_color_image_becomes_a_small_gray_one(save: Save, tmp_path: Path) -> None:
    network = open_network(save(reports_network().state_dict()), Unseen())
    large = Image.fromarray(PIXELS[0]).resize((10 * SIDE, 20 * SIDE))
    file = tmp_path / "color.png"
    large.convert("RGB").save(file)
    (told,) = predict([network], [file])
    small = resize(np.asarray(large), SIDE)
    assert told.repeats == tuple(network.probabilities(small[None]))
