"""Audits of small data sets and of the real X-rays."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo.data.audit import audit
from hpo.data.dataset import TEST, TRAIN, VALIDATION, Pixels
from hpo.data.source import open_data
from tests.data.conftest import REAL, make_dataset, needs_real


def test_random_splits_leak_patients_and_folds_of_hpo_do_not(release: Path) -> None:
    found = audit(open_data(release))
    assert found.random_split is not None
    assert found.own_folds is not None
    # Two images per patient: the other one is in training with a probability of about 0.8.
    assert found.random_split.n_validation == 4
    assert 0.6 < found.random_split.share < 1.0
    assert found.own_folds.n_with_sibling == 0
    assert found.own_folds.n_validation == pytest.approx(24 / 5)


def test_the_split_of_the_source_is_checked_for_leakage() -> None:
    split = [TRAIN] * 4 + [VALIDATION] * 2
    found = audit(make_dataset([0, 1, 0, 1, 0, 1], split=split, patients="abcdae"))
    assert found.own_folds is not None
    assert (found.own_folds.n_with_sibling, found.own_folds.share) == (1, 0.5)


def test_random_splits_work_on_a_small_data_set() -> None:
    split = [TRAIN] * 4 + [VALIDATION] * 2
    found = audit(make_dataset([0, 1, 0, 1, 0, 1], split=split, patients="aabbcd"))
    assert found.random_split is not None
    assert found.random_split.n_validation == 2


def test_patients_both_in_test_and_outside_are_listed() -> None:
    keys = [f"p{i}" for i in range(10)] + ["p3", "q"]
    found = audit(make_dataset([0, 1] * 6, split=[TRAIN] * 10 + [TEST] * 2, patients=keys))
    assert found.shared_patients == ("image 10",)


def test_duplicates_are_grouped_within_and_across_splits() -> None:
    images = [np.full((4, 4), i, np.uint8) for i in range(14)]
    images[2] = images[13] = images[0]
    images[5] = images[4]
    split = [TRAIN] * 12 + [TEST] * 2
    dataset = make_dataset([0, 1] * 7, split=split, images=images)
    assert "Warning: 1 image in more than one split" in " ".join(dataset.notes)
    across, differing = audit(dataset).duplicates
    assert across.files == ("image 0", "image 2", "image 13")
    assert across.splits == ("train", "test")
    assert across.is_across_splits
    assert across.has_different_labels
    assert differing.files == ("image 4", "image 5")
    assert not differing.is_across_splits
    assert differing.has_different_labels


@needs_real
def test_random_splits_of_the_real_xrays_leak_a_fifth_of_validation_images() -> None:
    dataset = open_data(REAL / "chest_xray")
    assert dataset.pixels_at(64).shape == (2400, 64, 64)
    found = audit(dataset)
    assert found.random_split is not None
    assert found.own_folds is not None
    assert 0.17 < found.random_split.share < 0.24
    assert found.own_folds.n_with_sibling == 0
    assert found.shared_patients == ()
    archive = open_data(REAL / "pneumoniamnist_28.npz")
    assert [len(archive.where(split)) for split in (TRAIN, VALIDATION, TEST)] == [3882, 524, 624]


def smooth(seed: int) -> Pixels:
    """Return a smooth image, as X-rays are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((120, 120), Image.Resampling.BICUBIC))


def test_near_copies_of_another_size_or_contrast_are_found() -> None:
    one, other = smooth(1), smooth(2)
    copy = np.asarray(Image.fromarray(one).resize((90, 90)))
    dark = (one * 0.8).astype(np.uint8)
    dataset = make_dataset([0, 1, 0, 1], images=[one, other, copy, dark], split=[0, 0, 0, 2])
    found = audit(dataset).near_copies
    assert found
    assert [(pair.files, pair.is_across_splits) for pair in found] == [
        (("image 0", "image 2"), False),
        (("image 0", "image 3"), True),
        (("image 2", "image 3"), True),
    ]
