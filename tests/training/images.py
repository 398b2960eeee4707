"""A small stand-in for X-rays: two classes of noisy images that a network can tell apart."""

import numpy as np

from hpo.data.dataset import Fold, Pixels, TrainingData

N_POOL = 100
N_TEST = 20


def small_data(n_pool: int = N_POOL, *, n_train: int = 80) -> TrainingData:
    """Make a pool whose first `n_train` images, shifted by the fold, are for training."""

    def fold(i: int) -> Fold:
        positions = np.roll(np.arange(n_pool), 7 * i)
        return Fold(train=np.sort(positions[:n_train]), validation=np.sort(positions[n_train:]))

    labels = (np.arange(n_pool) % 3 == 0).astype(np.uint8)
    return TrainingData(
        fingerprint="small",
        labels=labels,
        n_test=N_TEST,
        pixels_at=lambda size: small_pixels(size, labels),
        fold=fold,
    )


def small_pixels(size: int, labels: np.ndarray) -> Pixels:
    """Draw the pool and the test images: a brighter disc in the images of label 1."""
    random = np.random.default_rng(size)
    all_labels = np.concatenate([labels, np.arange(N_TEST, dtype=np.uint8) % 2])
    across, along = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    disc = np.hypot(across - 0.3, along + 0.2) < 0.5
    images = random.normal(100, 30, (len(all_labels), size, size))
    images += 40 * disc * all_labels[:, None, None] + random.normal(0, 10, (len(images), 1, 1))
    return images.clip(0, 255).astype(np.uint8)
