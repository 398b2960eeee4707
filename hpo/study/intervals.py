"""Means over repeats and comparisons of configurations, in the study's own score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from hpo.config import Scalar
from hpo.stats import (
    Interval,
    SweepComparison,
    compare_sweep,
    level_of_looks,
    mean_interval,
    wilson,
)
from hpo.stats.sentences import label, margin_text
from hpo.storage.runs import RunStore
from hpo.study.evidence import Name, gather_evidence
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
    level = level_of_looks(n_looks)
    is_large = pairs is None and len(repeats) > _MOST_COMPARED
    found = compare_repeats(
        repeats,
        pairs,
        record,
        runs=None if is_large else runs,
        level=level,
        most=_N_BEST if is_large else None,
    )
    if n_looks == 1:
        return found
    looks = (
        f"The values are compared up to {n_looks} times, so each interval is a "
        f"{100 * level:.3g} % interval: all of them together hold 95 %."
    )
    return replace(found, basis=" ".join(filter(None, [found.basis, looks])))


def compare_repeats(
    repeats: Mapping[Name, Sequence[Repeat | None]],
    pairs: Sequence[tuple[Name, Name]] | None,
    record: StudyRecord,
    *,
    runs: RunStore | None,
    level: float = 0.95,
    most: int | None = None,
) -> SweepComparison:
    """Compare pairs by their repeats, in order, by what the run store holds of them.

    `pairs` None are all, or of more than `most` configurations those of the best.
    """
    evidence = gather_evidence(repeats, record.score, runs, record.weights)
    found = compare_sweep(
        evidence.scores,
        pairs=pairs,
        most=most,
        overlap=record.data.overlap,
        level=level,
        kind=record.score.kind,
        n_images=record.data.n_validation,
        answers=evidence.answers,
    )
    said = [evidence.basis]
    if record.data.has_own_validation and evidence.answers is None:
        said.append("The answers are about these validation images, not about others.")
    if record.margin is not None:
        margin = margin_text(record.score.kind)
        said.append(f"The smallest difference that matters is {margin} (--margin).")
    return replace(found, basis=" ".join(filter(None, said)))


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
