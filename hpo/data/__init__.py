"""Chest X-rays: opening a data set, its folds, its audit, and the phantom."""

from hpo.data.dataset import (
    N_FOLDS,
    NORMAL,
    PNEUMONIA,
    TEST,
    TRAIN,
    VALIDATION,
    Dataset,
    Fold,
    Indices,
    Pixels,
    TrainingData,
    count_classes,
    seal,
)

__all__ = [
    "NORMAL", "N_FOLDS", "PNEUMONIA", "TEST", "TRAIN", "VALIDATION", "Dataset", "Fold", "Indices",
    "Pixels", "TrainingData", "count_classes", "seal",
]  # fmt: skip
