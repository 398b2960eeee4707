"""The verdict of a sweep: which differences between its values are real."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TypeVar

import numpy as np

from hpo.stats.intervals import Floats, Scores, as_floats, check_level_and_overlap, mean_interval
from hpo.stats.paired import PairedTests, find_resolution, paired_tests
from hpo.stats.records import ACCURACY, PairComparison, ScoreKind, SweepComparison
from hpo.stats.sentences import Finding, Judgment, sentence

V = TypeVar("V", bound=Hashable)


def compare_sweep(
    scores: Mapping[V, Scores],
    *,
    overlap: float = 0.0,
    level: float = 0.95,
    kind: ScoreKind = ACCURACY,
    n_images: int | None = None,
) -> SweepComparison:
    """Compare every pair of values of a sweep by its repeats, and say which differ.

    `scores` holds per value the score of repeat 0, 1, …; None or NaN where a repeat is missing or
    failed. Repeat i of one value is compared with repeat i of the other, so both must have had
    the same images and seeds. `overlap` is n_validation / n_train where the training sets of
    repeats overlap. `n_images` is only for the words: how many images were trained on.

    Raises:
        UsageError: level not between 0 and 1, or overlap below 0.
    """
    judgment = Judgment(level=level, overlap=overlap, kind=kind, n_images=n_images)
    return _compare(scores, tuple(combinations(scores, 2)), judgment)


def compare_pairs(
    scores: Mapping[V, Scores],
    pairs: Sequence[tuple[V, V]],
    *,
    overlap: float = 0.0,
    kind: ScoreKind = ACCURACY,
    n_images: int | None = None,
) -> SweepComparison:
    """Compare only these pairs of values, as `compare_sweep` does all; corrected for so many."""
    judgment = Judgment(level=0.95, overlap=overlap, kind=kind, n_images=n_images)
    return _compare(scores, pairs, judgment)


def compare_best(
    scores: Mapping[V, Scores],
    *,
    most: int,
    overlap: float = 0.0,
    kind: ScoreKind = ACCURACY,
    n_images: int | None = None,
) -> SweepComparison:
    """Compare the values with the best means, at most so many, corrected for every pair of all.

    These very scores tell which are best: corrected for the pairs of the best alone, the lead of
    a lucky one would now and then be called real.
    """
    table = _table(scores)
    sign = 1 if kind.direction == "maximize" else -1
    means = {v: sign * float(np.nanmean(a)) for v, a in table.items() if np.isfinite(a).any()}
    best = set(sorted(means, key=lambda value: -means[value])[:most])
    n_pairs = math.comb(len(means), 2)
    judgment = Judgment(level=0.95, overlap=overlap, kind=kind, n_images=n_images, n_tests=n_pairs)
    told = {value: array for value, array in table.items() if value in best}
    found = _compare(told, tuple(combinations(told, 2)), judgment)
    return replace(found, n_left_out=n_pairs - len(found.pairs))


def _compare(
    scores: Mapping[V, Scores], names: Sequence[tuple[V, V]], judgment: Judgment
) -> SweepComparison:
    """Compare pairs of values, corrected for `judgment.n_tests`, or for so many as they are."""
    level, overlap = judgment.level, judgment.overlap
    check_level_and_overlap(level, overlap)
    table = _table(scores)
    if not names:
        differences = np.empty((0, 0))
    else:
        differences = np.stack([table[b] - table[a] for a, b in names])
    tests = paired_tests(
        differences,
        overlap=overlap,
        level=level,
        resolution=find_resolution(differences),
        n_tests=judgment.n_tests or None,
    )
    judgment = replace(judgment, n_tests=judgment.n_tests or int((tests.n > 1).sum()))
    return SweepComparison(
        values={v: mean_interval(s, level=level, overlap=overlap) for v, s in table.items()},
        pairs=tuple(
            _pair(a, b, _finding(tests, i, table[a], table[b]), judgment)
            for i, (a, b) in enumerate(names)
        ),
    )


def _table(scores: Mapping[V, Scores]) -> dict[V, Floats]:
    """Return arrays of equal length: what a value has no score for is NaN."""
    arrays = {value: as_floats(repeats) for value, repeats in scores.items()}
    length = max((len(array) for array in arrays.values()), default=0)
    return {
        value: np.concatenate([_finite(array), np.full(length - len(array), math.nan)])
        for value, array in arrays.items()
    }


def _finite(array: Floats) -> Floats:
    return np.where(np.isfinite(array), array, math.nan)


def _finding(tests: PairedTests, index: int, a: Floats, b: Floats) -> Finding:
    return Finding(
        difference=float(tests.difference[index]),
        low=float(tests.low[index]),
        high=float(tests.high[index]),
        p_value=float(tests.p_value[index]),
        deviation=float(tests.deviation[index]),
        is_real=bool(tests.is_real[index]),
        is_same=not bool(np.nan_to_num(b - a).any()),
        n_pairs=int(tests.n[index]),
        n_alone=int((np.isfinite(a) ^ np.isfinite(b)).sum()),
    )


def _pair(a: Hashable, b: Hashable, finding: Finding, judgment: Judgment) -> PairComparison:
    is_testable = finding.n_pairs >= 2
    return PairComparison(
        a=a,
        b=b,
        difference=finding.difference if finding.n_pairs else None,
        low=finding.low if is_testable else None,
        high=finding.high if is_testable else None,
        p_value=finding.p_value if is_testable else None,
        is_real=finding.is_real,
        n_pairs=finding.n_pairs,
        sentence=sentence(a, b, finding, judgment),
    )
