"""The synthetic phantom images: the same bits everywhere, also as files."""

from pathlib import Path

import numpy as np
import pytest

from hpo.data.dataset import PNEUMONIA, TEST, TRAIN
from hpo.data.phantom import draw, write_phantom
from hpo.data.source import open_data, open_table
from hpo.errors import DataError

# `open_data(None).fingerprint` with numpy 2.4 on x86-64, with and without its vector instructions
# (NPY_DISABLE_CPU_FEATURES).
FINGERPRINT = "2b8e8a30c252c8f8d1e81f5273b7baa0"


def test_the_same_seed_gives_the_same_bits_everywhere() -> None:
    phantom = open_data(None)
    assert (phantom.name, phantom.source) == ("phantom", "phantom")
    assert phantom.fingerprint == FINGERPRINT
    for split, n in ((TRAIN, 800), (TEST, 400)):
        labels = phantom.labels[phantom.split == split]
        assert (len(labels), int((labels == PNEUMONIA).sum())) == (n, n // 2)
    _, n_images = np.unique(phantom.patients, return_counts=True)
    is_test = phantom.split == TEST
    assert phantom.has_patients
    assert set(n_images) == {1, 2}
    assert not np.intersect1d(phantom.patients[is_test], phantom.patients[~is_test]).size


def test_a_written_phantom_is_the_same_data_and_marked_synthetic(tmp_path: Path) -> None:
    write_phantom(tmp_path / "phantom", seed=1, size=16)
    assert [path.name for path in tmp_path.iterdir()] == ["phantom"]
    written, drawn = open_data(tmp_path / "phantom"), open_table(draw(1, 16))
    assert written.is_phantom
    assert written.fingerprint == drawn.fingerprint != open_table(draw(0, 16)).fingerprint
    assert written.files == drawn.files


def test_a_phantom_is_not_written_into_a_used_or_impossible_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not empty"):
        write_phantom(tmp_path)
    with pytest.raises(DataError, match=r"file/phantom.*Choose another folder"):
        write_phantom(tmp_path / "file" / "phantom")
