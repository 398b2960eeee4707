"""Training and validation images of each repeat, and what training may see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.data.dataset import N_FOLDS, TEST, TRAIN, VALIDATION, seal
from hpo.data.source import open_data
from hpo.errors import DataError
from tests.data.conftest import make_dataset


def test_each_five_repeats_validate_every_image_once_in_new_splits() -> None:
    sealed = seal(open_data(None))
    for first in (0, N_FOLDS):
        folds = [sealed.fold(first + i) for i in range(N_FOLDS)]
        together = np.concatenate([fold.validation for fold in folds])
        np.testing.assert_array_equal(np.sort(together), np.arange(800))
        for fold in folds:
            both = np.sort(np.concatenate([fold.train, fold.validation]))
            np.testing.assert_array_equal(both, np.arange(800))
            assert abs(int(sealed.labels[fold.validation].sum()) - 80) <= 2
            assert abs(len(fold.validation) - 160) <= 4
    assert not np.array_equal(sealed.fold(0).validation, sealed.fold(N_FOLDS).validation)


def test_sealed_data_end_with_the_test_images_and_lack_their_labels() -> None:
    dataset = make_dataset([0, 1] * 16, split=[TEST, TRAIN, TRAIN, TRAIN] * 8)
    data = seal(dataset)
    pixels, kept = data.pixels_at(8), dataset.pixels_at(8)
    np.testing.assert_array_equal(pixels[:24], kept[dataset.split == TRAIN])
    np.testing.assert_array_equal(pixels[24:], kept[dataset.split == TEST])
    np.testing.assert_array_equal(data.labels, dataset.labels[dataset.split == TRAIN])
    assert (data.n_pool, data.n_test, data.fingerprint) == (24, 8, dataset.fingerprint)


def test_a_given_validation_split_is_used_in_every_repeat() -> None:
    data = seal(make_dataset([0, 1] * 4, split=[TRAIN] * 4 + [VALIDATION] * 2 + [TEST] * 2))
    for repeat in (0, 1, 17):
        assert data.fold(repeat).train.tolist() == [0, 1, 2, 3]
        assert data.fold(repeat).validation.tolist() == [4, 5]


def test_a_given_validation_split_needs_both_classes() -> None:
    with pytest.raises(DataError, match="lacks a class"):
        seal(make_dataset([0, 1, 0, 1, 1, 1], split=[TRAIN] * 4 + [VALIDATION] * 2))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(1, 3)), min_size=12, max_size=40),
    st.integers(0, 12),
)
def test_any_data_give_valid_folds_or_a_reason(groups: list[tuple[int, int]], repeat: int) -> None:
    rows = [(label, f"p{i}") for i, (label, n) in enumerate(groups) for _ in range(n)]
    labels, keys = [label for label, _ in rows], [key for _, key in rows]
    n_patients = [sum(label == kind for label, _ in groups) for kind in (0, 1)]
    if min(n_patients) < N_FOLDS:
        with pytest.raises(DataError, match=r"at least 5 patients|images of one class only"):
            seal(make_dataset(labels, patients=keys))
        return
    fold = seal(make_dataset(labels, patients=keys)).fold(repeat)
    assert not set(np.array(keys)[fold.train]) & set(np.array(keys)[fold.validation])
    assert {labels[i] for i in fold.train} == {labels[i] for i in fold.validation} == {0, 1}


def test_a_fold_without_a_class_is_refused() -> None:
    counts = [(0, 1), (3, 0), (0, 25), (1, 0), (0, 22), (3, 4), (2, 0), (3, 9)]
    rows = [
        (label, f"p{i}")
        for i, pair in enumerate(counts)
        for label in (0, 1)
        for _ in range(pair[label])
    ]
    labels, keys = zip(*rows, strict=True)
    with pytest.raises(DataError, match="too many of them belong to few patients"):
        seal(make_dataset(labels, patients=keys)).fold(0)
