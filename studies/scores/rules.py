"""How well each score chooses: rank correlation with the test, and what choosing by it costs.

Choosing is for accuracy, balanced accuracy and AUROC on the patients of a test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from hpo.data.dataset import TEST, Dataset
from hpo.study.score import SCORES
from hpo.training.engine import Run

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.int64]

Estimate: TypeAlias = tuple[float, float, float]
"""A value and its 95 % interval."""

TARGETS: Final = ("accuracy", "balanced_accuracy", "auroc")
N_DRAWS: Final = 2000
N_RESAMPLES: Final = 300
SEARCH_SIZE: Final = 50


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers of the configurations for some test images, as means over their repeats.

    `is_right` is `(configurations, images)`; `ranks` `(configurations, ill, healthy)` is 1 where
    the ill image has the higher probability, a half for a tie. `is_ill` and `patients` are
    `(images,)`.
    """

    is_right: Floats
    ranks: Floats
    is_ill: NDArray[np.bool_]
    patients: Places

    def resample(self, random: np.random.Generator) -> Floats:
        """Return how often each image counts when patients are drawn anew, class by class."""
        weights = np.zeros(len(self.patients))
        for is_ill in (True, False):
            of_class = self.is_ill == is_ill
            known, place = np.unique(self.patients[of_class], return_inverse=True)
            drawn = np.bincount(random.integers(len(known), size=len(known)), minlength=len(known))
            weights[of_class] = drawn[place]
        return weights

    def targets(self, weights: Floats | None = None) -> dict[str, Floats]:
        """Return the targets of every configuration; images count by their weights."""
        w = np.ones(len(self.is_ill)) if weights is None else weights
        ill, healthy = w * self.is_ill, w * ~self.is_ill
        sensitivity = self.is_right @ ill / ill.sum()
        specificity = self.is_right @ healthy / healthy.sum()
        of_ill, of_healthy = w[self.is_ill], w[~self.is_ill]
        auroc = np.einsum("cij,i,j->c", self.ranks, of_ill, of_healthy, optimize=True)
        return {
            "accuracy": self.is_right @ w / w.sum(),
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "auroc": auroc / (of_ill.sum() * of_healthy.sum()),
        }


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One rule on one half of a test: by target, rank correlation and mean regret."""

    rule: str
    correlation: Mapping[str, Estimate]
    regret: Mapping[str, Estimate]


def halves(dataset: Dataset, among: Places) -> dict[str, Places]:
    """Split places in the test by patient, each class in half: to decide by, and to keep back."""
    test = dataset.where(TEST)
    random = np.random.default_rng(11)
    is_kept = np.zeros(len(test), bool)
    for label in (0, 1):
        of_class = among[dataset.labels[test][among] == label]
        patients = np.unique(dataset.patients[test][of_class])
        kept = random.permutation(patients)[: len(patients) // 2]
        is_kept[of_class] = np.isin(dataset.patients[test][of_class], kept)
    return {"looked_at": among[~is_kept[among]], "kept_back": among[is_kept[among]]}


def gather(trained: Sequence[Sequence[Run]], dataset: Dataset, chosen: Places) -> Answers:
    """Return the answers on some of the test images, by their places in the test."""
    test = dataset.where(TEST)
    is_ill = dataset.labels[test][chosen] == 1
    is_right, ranks = [], []
    for runs in trained:
        p = np.array([np.array(run.test_probabilities)[chosen] for run in runs])
        is_right.append(((p > 0.5) == is_ill).mean(0))
        ill, healthy = p[:, is_ill, None], p[:, None, ~is_ill]
        ranks.append(((ill > healthy) + 0.5 * (ill == healthy)).mean(0))
    return Answers(
        is_right=np.array(is_right),
        ranks=np.array(ranks),
        is_ill=is_ill,
        patients=dataset.patients[test][chosen],
    )


def judge(trained: Sequence[Sequence[Run]], answers: Answers) -> list[Judged]:
    """Judge every rule by the answers that the configurations give on one half of a test.

    Intervals are percentiles over patients and configurations, resampled together; regret is
    a mean over draws of as many configurations as a search has.
    """
    random = np.random.default_rng(5)
    # The mean score of every configuration over its folds, higher being better.
    scores = {
        name: np.array(
            [
                np.mean([s.rank(s.of(run.kept.validation, run.stress)) for run in runs])
                for runs in trained
            ]
        )
        for name, s in SCORES.items()
    }
    whole = _judge_once(scores, answers.targets(), random, n_draws=N_DRAWS)
    resampled = []
    for _ in range(N_RESAMPLES):
        chosen = random.integers(len(trained), size=len(trained))
        targets = answers.targets(answers.resample(random))
        of_chosen = {name: values[chosen] for name, values in scores.items()}
        by_target = {name: values[chosen] for name, values in targets.items()}
        resampled.append(_judge_once(of_chosen, by_target, random, n_draws=100))

    def estimate(rule: str, target: str, which: int) -> Estimate:
        values = [found[rule, target][which] for found in resampled]
        low, high = np.percentile(values, [2.5, 97.5])
        return whole[rule, target][which], float(low), float(high)

    return [
        Judged(
            rule=rule,
            correlation={target: estimate(rule, target, 0) for target in TARGETS},
            regret={target: estimate(rule, target, 1) for target in TARGETS},
        )
        for rule in scores
    ]


def _judge_once(
    scores: Mapping[str, Floats],
    targets: Mapping[str, Floats],
    random: np.random.Generator,
    *,
    n_draws: int,
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return correlation and regret by rule and target; all rules choose from the same draws."""
    n = len(next(iter(scores.values())))
    draws = np.argsort(random.random((n_draws, n)), axis=1)[:, : min(SEARCH_SIZE, n)]
    found = {}
    for target, values in targets.items():
        best = values[draws].max(axis=1)
        for rule, ranked in scores.items():
            chosen = draws[np.arange(n_draws), ranked[draws].argmax(axis=1)]
            correlation = np.corrcoef(rankdata(ranked), rankdata(values))[0, 1]  # Spearman's.
            found[rule, target] = (float(correlation), float((best - values[chosen]).mean()))
    return found
