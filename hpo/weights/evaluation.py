"""What weights are worth on the test images of a data set."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpo.data import TEST, Dataset
from hpo.errors import WeightsError
from hpo.evaluate.configurations import count_answers
from hpo.evaluate.exam import check_test
from hpo.evaluate.gaps import FALL, LOPSIDED, bound
from hpo.evaluate.metrics import statistics
from hpo.evaluate.records import Confusion
from hpo.signs import one_sided
from hpo.stats import Interval, bootstrap_by_patient
from hpo.weights.exported import open_model
from hpo.weights.files import is_folder
from hpo.weights.network import Probabilities, Unseen

_WHOSE = (
    "Whether these weights have seen the test images in training cannot be told: if they have, "
    "these numbers are too good."
)


@dataclass(frozen=True, kw_only=True)
class WeightsEvaluation:
    """A network that was read from a file, on the test images.

    Intervals are those of the bootstrap by patient: this network, other patients. `notes` say
    what was found and assumed of the network, `signs` what looks broken.
    """

    path: Path
    architecture: str
    data: str
    is_phantom: bool
    n_images: int
    n_patients: int
    threshold: float
    metrics: Mapping[str, Interval]
    confusion: Confusion
    notes: tuple[str, ...]
    signs: tuple[str, ...]


def evaluate_weights(
    path: Path, dataset: Dataset, *, unseen: Unseen | None = None, threshold: float = 0.5
) -> WeightsEvaluation:
    """Answer the test images of a data set with the network of a file.

    A probability above the threshold means pneumonia.

    Raises:
        WeightsError: the file cannot be read, or its network gives no numbers.
        DataError: there is no test split, or it has one class only.
    """
    check_test(dataset)
    (network,) = open_model(_as_file(path), unseen)
    test = dataset.where(TEST)
    pixels, labels = dataset.pixels_at(network.side)[test], dataset.labels[test]
    told = network.probabilities(pixels)
    patients = dataset.patients[test]
    metrics = {
        name: bootstrap_by_patient(statistic, patients)
        for name, statistic in statistics(labels, told, threshold=threshold).items()
    }
    return WeightsEvaluation(
        path=path,
        architecture=network.text,
        data=dataset.name,
        is_phantom=dataset.is_phantom,
        n_images=len(test),
        n_patients=len(np.unique(patients)),
        threshold=threshold,
        metrics=metrics,
        confusion=count_answers(told > threshold, labels),
        notes=(*network.notes, _WHOSE),
        signs=(
            *network.check(pixels),
            *_one_sided(told, threshold),
            *_threshold_off(metrics, bound(labels, [told])),
        ),
    )


def to_document(evaluation: WeightsEvaluation) -> dict[str, Any]:
    """Return what `hpo evaluate --weights --json` prints."""
    return {
        "weights": str(evaluation.path),
        "architecture": evaluation.architecture,
        "data": {
            "name": evaluation.data,
            "is_phantom": evaluation.is_phantom,
            "n_test": evaluation.n_images,
            "n_patients": evaluation.n_patients,
        },
        "threshold": evaluation.threshold,
        "metrics": {
            name: {"value": found.mean, "low": found.low, "high": found.high}
            for name, found in evaluation.metrics.items()
        },
        "confusion": asdict(evaluation.confusion),
        "n_right": evaluation.confusion.n_right,
        "n_images": evaluation.n_images,
        "notes": list(evaluation.notes),
        "signs": list(evaluation.signs),
    }


def _as_file(path: Path) -> Path:
    if is_folder(path):
        raise WeightsError(
            f"{path} is a folder: give one file of weights in it. `hpo evaluate STUDY` tells all "
            "repeats of a configuration, with their interval."
        )
    return path


def _one_sided(told: Probabilities, threshold: float) -> Iterator[str]:
    probabilities = {0: told.tolist()}
    for sentence in one_sided(probabilities, images="test", thresholds={0: threshold}):
        plain = sentence.removeprefix("In the one repeat ")
        yield plain[0].upper() + plain[1:]


def _threshold_off(metrics: Mapping[str, Interval], best_accuracy: float) -> Iterator[str]:
    """Say that another threshold would do far better, by the same measures as for a study.

    A study compares with its validation images; of these weights there are none.
    """
    accuracy, auroc, sensitivity, specificity = (
        metrics[name].mean or 0.0 for name in ("accuracy", "auroc", "sensitivity", "specificity")
    )
    is_lopsided = abs(sensitivity - specificity) >= LOPSIDED
    if is_lopsided and best_accuracy - accuracy >= FALL:
        yield (
            f"The threshold is off for these images: sensitivity {100 * sensitivity:.1f} %, "
            f"specificity {100 * specificity:.1f} %, but AUROC {auroc:.3f}. At the Youden point "
            f"of the test's own ROC curve accuracy would be {100 * best_accuracy:.1f} %: a bound, "
            "for that point is chosen on the test labels, and no result."
        )
