"""What weights are worth on the test images of a data set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hpo.data import TEST, Dataset
from hpo.evaluate.checks import is_one_answer
from hpo.evaluate.metrics import Labels, count_answers, statistics
from hpo.evaluate.records import Confusion
from hpo.evaluate.test import check_test
from hpo.evaluate.thresholds import FALL, LOPSIDED
from hpo.evaluate.thresholds import best_accuracy as best_accuracy_of
from hpo.stats import Interval, bootstrap_by_patient
from hpo.weights.model import notes_of, open_model, text_of
from hpo.weights.network import Network, Probabilities, Unseen

_MOST_TRIED = 500
_LEAST_GAIN = 0.1
_SIGMOID_OF_ONE: Final = 0.7312
_LEARNED_RANGE: Final = 0.1
_WHOSE = (
    "Whether these weights have seen the test images in training cannot be told: if they have, "
    "these numbers are too good."
)


@dataclass(frozen=True, kw_only=True)
class Member:
    """A network of an ensemble by itself: its metrics at the ensemble's threshold.

    A metric is NaN where it is not defined.
    """

    path: Path
    architecture: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class WeightsEvaluation:
    """A network that was read from a file, or the ensemble of a folder, on the test images.

    Intervals are those of the bootstrap by patient: this model, other patients. `members` are the
    networks of an ensemble, one alone has none. `notes` say what was found and assumed of the
    networks, `signs` what looks broken.
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
    members: tuple[Member, ...]
    notes: tuple[str, ...]
    signs: tuple[str, ...]


def evaluate_weights(
    path: Path, dataset: Dataset, *, unseen: Unseen | None = None, threshold: float = 0.5
) -> WeightsEvaluation:
    """Answer the test images of a data set with the network of a file, or the mean of a folder.

    A probability above the threshold means pneumonia.

    Raises:
        WeightsError: a file cannot be read, or its network gives no numbers.
        DataError: there is no test split, or it has one class only.
    """
    check_test(dataset)
    networks = open_model(path, unseen)
    test = dataset.where(TEST)
    labels, patients = dataset.labels[test], dataset.patients[test]
    each = [network.probabilities(dataset.pixels_at(network.side)[test]) for network in networks]
    told = np.mean(each, axis=0)
    found = statistics(labels, told, threshold=threshold)
    metrics = {name: bootstrap_by_patient(found[name], patients) for name in found}
    alone = [_alone(n, p, labels, threshold) for n, p in zip(networks, each, strict=True)]
    return WeightsEvaluation(
        path=path,
        architecture=text_of(networks),
        data=dataset.name,
        is_phantom=dataset.is_phantom,
        n_images=len(test),
        n_patients=len(np.unique(patients)),
        threshold=threshold,
        metrics=metrics,
        confusion=count_answers(told > threshold, labels),
        members=tuple(alone) if len(alone) > 1 else (),
        notes=(*notes_of(networks), _WHOSE),
        signs=(
            *_checks(networks, dataset, threshold),
            *_one_sided(told, threshold),
            *_threshold_off(metrics, best_accuracy_of(labels, [told])),
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
        "members": [
            {"weights": str(m.path), "architecture": m.architecture, "metrics": dict(m.metrics)}
            for m in evaluation.members
        ],
        "notes": list(evaluation.notes),
        "signs": list(evaluation.signs),
    }


def _alone(network: Network, told: Probabilities, labels: Labels, threshold: float) -> Member:
    every = np.ones((1, len(labels)))
    found = statistics(labels, told, threshold=threshold)
    return Member(
        path=network.path,
        architecture=network.text,
        metrics={name: float(statistic(every)[0]) for name, statistic in found.items()},
    )


def _checks(networks: Sequence[Network], dataset: Dataset, threshold: float) -> Iterator[str]:
    """Say what the images tell against networks; of several, against which."""
    test = dataset.where(TEST)
    for network in networks:
        of_which = f"{network.path.name}: " if len(networks) > 1 else ""
        signs = network.check(dataset.pixels_at(network.side)[test])
        for sign in signs or _other_scale(network, dataset, threshold):
            yield of_which + sign


def _other_scale(network: Network, dataset: Dataset, threshold: float) -> Iterator[str]:
    """Say that another input scale fits the images outside the test far better.

    Five scales are tried: four standard errors of the difference are chance in one of 5,000 cases.
    """
    pool = np.setdiff1d(np.arange(len(dataset)), dataset.where(TEST))
    pool = pool[np.linspace(0, len(pool) - 1, min(len(pool), _MOST_TRIED)).astype(int)]
    told = network.at_scales(dataset.pixels_at(network.side)[pool])
    right = {scale: (p > threshold) == dataset.labels[pool] for scale, p in told.items()}
    if not right:
        return
    own, *_ = right
    most = max(int(of_scale.sum()) for of_scale in right.values())
    best = [scale for scale in right if right[scale].sum() == most]
    gain = right[best[0]].astype(int) - right[own]
    if gain.mean() >= _LEAST_GAIN and gain.sum() > 4 * np.sqrt(np.abs(gain).sum()):
        yield (
            f"Of {len(pool)} training images {100 * right[own].mean():.1f} % are right with "
            f"--input-scale {own}, and {100 * most / len(pool):.1f} % with {' or '.join(best)}. "
            "Use the scale that the network was trained with."
        )


def _one_sided(told: Probabilities, threshold: float) -> Iterator[str]:
    low, high = float(told.min()), float(told.max())
    if is_one_answer(told.tolist(), threshold):
        called = "pneumonia" if low > threshold else "normal"
        yield f"Every test image is called {called} (probabilities {low:.3f} to {high:.3f})."
    # A network that has not learned lies there too, but in a narrow range.
    if low >= 0.5 and high <= _SIGMOID_OF_ONE and high - low >= _LEARNED_RANGE:
        yield (
            f"All probabilities lie between {low:.3f} and {high:.3f}, as where a sigmoid is "
            "applied twice: 0.731 is the sigmoid of 1, 0.5 that of 0. See --has-sigmoid."
        )


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
