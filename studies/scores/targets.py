"""What choosing is for: accuracy, balanced accuracy and AUROC on the patients of a test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.data import TEST, Dataset
from studies.scores.work import Trained

Floats: TypeAlias = NDArray[np.float64]

TARGETS: Final = ("accuracy", "balanced_accuracy", "auroc")
_SEED: Final = 11


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the configurations say of some test images, as means over their repeats.

    `is_right` is `(configurations, images)`; `ranks` `(configurations, ill, healthy)` is 1 where
    the ill image has the higher probability, a half for a tie. `is_ill` and `patients` are
    `(images,)`.
    """

    is_right: Floats
    ranks: Floats
    is_ill: NDArray[np.bool_]
    patients: NDArray[np.int64]

    def resample(self, random: np.random.Generator) -> Floats:
        """Return how often each image counts when patients are drawn anew, class by class."""
        weights = np.zeros(len(self.patients))
        for is_ill in (True, False):
            of_class = self.is_ill == is_ill
            known, place = np.unique(self.patients[of_class], return_inverse=True)
            drawn = np.bincount(random.integers(len(known), size=len(known)), minlength=len(known))
            weights[of_class] = drawn[place]
        return weights


def gather(trained: Sequence[Trained], dataset: Dataset, chosen: NDArray[np.int64]) -> Answers:
    """Return the answers on some of the test images, by their places in the test."""
    test = dataset.where(TEST)
    is_ill = dataset.labels[test][chosen] == 1
    is_right, ranks = [], []
    for one in trained:
        p = np.array([np.array(run.test_probabilities)[chosen] for run in one.runs])
        is_right.append(((p > 0.5) == is_ill).mean(0))
        ill, healthy = p[:, is_ill, None], p[:, None, ~is_ill]
        ranks.append(((ill > healthy) + 0.5 * (ill == healthy)).mean(0))
    return Answers(
        is_right=np.array(is_right),
        ranks=np.array(ranks),
        is_ill=is_ill,
        patients=dataset.patients[test][chosen],
    )


def measure(answers: Answers, *, weights: Floats | None = None) -> Mapping[str, Floats]:
    """Return the targets of every configuration; images count as often as their weight says."""
    w = np.ones(len(answers.is_ill)) if weights is None else weights
    ill, healthy = w * answers.is_ill, w * ~answers.is_ill
    sensitivity = answers.is_right @ ill / ill.sum()
    specificity = answers.is_right @ healthy / healthy.sum()
    of_ill, of_healthy = w[answers.is_ill], w[~answers.is_ill]
    auroc = np.einsum("cij,i,j->c", answers.ranks, of_ill, of_healthy, optimize=True)
    return {
        "accuracy": answers.is_right @ w / w.sum(),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "auroc": auroc / (of_ill.sum() * of_healthy.sum()),
    }


def halves(dataset: Dataset, among: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Split places in the test by patient, each class in half: to decide by, and to keep back."""
    test = dataset.where(TEST)
    random = np.random.default_rng(_SEED)
    is_kept = np.zeros(len(test), bool)
    for label in (0, 1):
        of_class = among[dataset.labels[test][among] == label]
        patients = np.unique(dataset.patients[test][of_class])
        kept = random.permutation(patients)[: len(patients) // 2]
        is_kept[of_class] = np.isin(dataset.patients[test][of_class], kept)
    return {"looked_at": among[~is_kept[among]], "kept_back": among[is_kept[among]]}
