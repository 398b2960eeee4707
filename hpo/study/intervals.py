"""Means over repeats and comparisons of configurations, in the study's own score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final

from hpo.config import Scalar
from hpo.stats import (
    Interval,
    SweepComparison,
    compare_best,
    compare_pairs,
    level_of_looks,
    mean_interval,
    wilson,
)
from hpo.stats.sentences import label
from hpo.storage.runs import RunStore
from hpo.study.evidence import gather_evidence
from hpo.study.record import StudyRecord
from hpo.study.summary import Configuration, Repeat

# The pairs of 100 are 4,950; those of 2,000 two millions, which nobody reads.
_MOST_COMPARED: Final = 100
_N_BEST: Final = 15


def mean_score(repeats: Iterable[Repeat], record: StudyRecord) -> Interval | None:
    """Return the mean of the complete ones; its interval is cut where scores end.

    That of few repeats reaches beyond. No score is below 0, and no share above 1. That of equal
    repeats would have no width: a share is never surer than its validation images allow.
    """
    complete = [r for r in repeats if r.state == "complete" and r.score is not None]
    if not complete:
        return None
    interval = mean_interval([r.score for r in complete], overlap=record.data.overlap)
    if interval.mean is None or interval.low is None or interval.high is None:
        return interval
    if not record.score.kind.is_share:
        return replace(interval, low=max(0.0, interval.low))
    n_folds = 1 if record.data.has_own_validation else min(len({r.fold for r in complete}), 5)
    # An image under each of twelve changes tells at most as much as twelve images.
    n_images = record.data.n_validation * n_folds * (12 if record.score.is_stressed else 1)
    low, high = wilson(interval.mean, max(1, n_images))
    return replace(
        interval, low=min(low, max(0.0, interval.low)), high=max(high, min(1.0, interval.high))
    )


def compare(
    configurations: Mapping[Scalar, Configuration],
    record: StudyRecord,
    *,
    runs: RunStore | None,
    first: int = 0,
    pairs: Sequence[tuple[Scalar, Scalar]] | None = None,
    n_looks: int = 1,
) -> SweepComparison:
    """Compare configurations by the repeats from `first` on that both have.

    Every pair of them (of more than a hundred, of the best), or only these `pairs`; by what the
    run store holds of them, or without one, and of very many, by the scores of their trials.
    The intervals hold together over `n_looks` comparisons on the way.
    """
    repeats: dict[Scalar, Sequence[Repeat | None]] = {}
    for name, configuration in configurations.items():
        by_repeat = {r.repeat: r for r in configuration.repeats}
        repeats[name] = [by_repeat.get(i) for i in range(first, max(by_repeat, default=-1) + 1)]
    is_of_best = pairs is None and len(repeats) > _MOST_COMPARED
    found = gather_evidence(repeats, record.score, None if is_of_best else runs)
    level = level_of_looks(n_looks)
    overlap, kind, n_images = record.data.overlap, record.score.kind, record.data.n_validation
    if is_of_best:
        return compare_best(
            found.scores,
            most=_N_BEST,
            overlap=overlap,
            level=level,
            kind=kind,
            n_images=n_images,
        )
    compared = compare_pairs(
        found.scores,
        list(combinations(repeats, 2)) if pairs is None else pairs,
        overlap=overlap,
        level=level,
        kind=kind,
        n_images=n_images,
        answers=found.answers,
    )
    looks = (
        f"Each interval is one of {100 * level:.3g} %, so that those of {n_looks} looks hold 95 % "
        "together."
        if n_looks > 1
        else ""
    )
    if record.data.has_own_validation and found.answers is None:
        looks += " The answers are about these validation images, not about others."
    return replace(compared, basis=" ".join(filter(None, [found.basis, looks])))


def with_way_on(verdict: SweepComparison, command: str) -> SweepComparison:
    """Return the verdict where pairs that lack repeats name the command that trains them."""
    return replace(
        verdict,
        pairs=tuple(
            replace(
                pair,
                sentence=f"{label(pair.a)} vs {label(pair.b)}: too few repeats are trained so "
                f"far. Run `{command}`.",
            )
            if pair.n_pairs < 2
            else pair
            for pair in verdict.pairs
        ),
    )
