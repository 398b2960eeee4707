"""Every claim for every configuration, and for every pair of them."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final, TypeAlias

from hpo.claims.evidence import Evidence, LossName, common_loss, evidence
from hpo.claims.kinds import KINDS, Kind
from hpo.claims.records import Claim, ClaimsSummary, Measured
from hpo.claims.target import Target, choose_target
from hpo.claims.texts import sentence
from hpo.config import Scalar
from hpo.runs import RunStore
from hpo.stats import Interval, compare_sweep, mean_interval
from hpo.summary import Configuration, StudySummary

MOST: Final = 6

Curves: TypeAlias = Mapping[Scalar, Sequence[Evidence | None]]


@dataclass(frozen=True)
class _Frame:
    """What holds for all claims of a study."""

    target: Target
    horizon: int
    overlap: float


def claims(
    summary: StudySummary, runs: RunStore, *, target: Target | None = None
) -> ClaimsSummary | None:
    """Measure the curves of finished trainings, and compare configurations pair by pair.

    Repeat i of one configuration is compared with repeat i of the other, as in the verdict; the
    p-values of each claim are corrected for the number of pairs. None while nothing is finished,
    and where nothing on record says how accurate it is.
    """
    chosen = _chosen(summary)
    if not chosen:
        return None
    configurations = list(chosen.values())
    loss_name = common_loss(configurations)
    curves = {value: _evidence(c, runs, loss_name) for value, c in chosen.items()}
    means = dict(_accuracies(curves))
    if not means:
        return None
    frame = _Frame(
        target=target or choose_target(means, summary.baselines.values()),
        horizon=min(c.config.epochs for c in configurations),
        overlap=summary.record.data.overlap,
    )
    return ClaimsSummary(
        configurations=chosen,
        target=frame.target,
        horizon=frame.horizon,
        claims=tuple(_claim(kind, curves, frame) for kind in KINDS),
        notes=tuple(_notes(summary, configurations, curves)),
    )


def _chosen(summary: StudySummary) -> dict[Scalar, Configuration]:
    """Return the configurations with a score, in the order of the study: of many, the best."""
    scored = {
        (f"#{number}" if summary.record.kind == "search" else c.value): c
        for number, c in enumerate(summary.configurations, start=1)
        if c.scores
    }
    ranks = {value: (c is summary.best, summary.rank(c)) for value, c in scored.items()}
    best = sorted(scored, key=lambda value: ranks[value], reverse=True)[:MOST]
    return {value: c for value, c in scored.items() if value in best}


def _accuracies(curves: Curves) -> Iterator[tuple[Scalar, float]]:
    """Yield the mean accuracy of the kept weights of each configuration, where it is known."""
    for value, repeats in curves.items():
        found = [of.accuracy for of in repeats if of is not None and of.accuracy is not None]
        if found:
            yield value, fmean(found)


def _evidence(
    configuration: Configuration, runs: RunStore, loss_name: LossName
) -> tuple[Evidence | None, ...]:
    found = {r.repeat: evidence(r, runs, loss_name=loss_name) for r in configuration.repeats}
    return tuple(found.get(i) for i in range(max(found, default=-1) + 1))


def _claim(kind: Kind, curves: Curves, frame: _Frame) -> Claim:
    kind = replace(
        kind,
        title=kind.title.format(target=frame.target.text),
        about=kind.about.format(target=frame.target.text),
    )
    measured: dict[Hashable, Measured] = {
        value: _measure(kind, value, repeats, frame) for value, repeats in curves.items()
    }
    comparison = compare_sweep(
        {value: m.repeats for value, m in measured.items()},
        overlap=frame.overlap,
        kind=kind.scores,
    )
    pairs = (
        replace(p, sentence=sentence(kind, p, measured[p.a], measured[p.b]))
        for p in comparison.pairs
    )
    return Claim(kind=kind, measured=tuple(measured.values()), pairs=tuple(pairs))


def _measure(
    kind: Kind, value: Scalar, repeats: Sequence[Evidence | None], frame: _Frame
) -> Measured:
    found = [None if of is None else kind.measure(of, frame.target.accuracy) for of in repeats]
    n_never = 0
    if kind.event:
        n_never = sum(epoch is not None and epoch > frame.horizon for epoch in found)
        found = [None if epoch is None else min(epoch, frame.horizon) for epoch in found]
    interval = mean_interval(found, overlap=frame.overlap)
    return Measured(
        value=value,
        interval=_within(interval, kind, frame.horizon),
        repeats=tuple(found),
        n_never=n_never,
    )


def _within(interval: Interval, kind: Kind, horizon: int) -> Interval:
    """Cut an interval where its measure ends: that of few repeats reaches beyond."""
    if interval.low is None or interval.high is None:
        return interval
    highest = horizon if kind.event else math.inf
    return replace(interval, low=max(kind.lowest, interval.low), high=min(highest, interval.high))


def _notes(
    summary: StudySummary, configurations: Sequence[Configuration], curves: Curves
) -> Iterator[str]:
    by_value = [[of for of in repeats if of is not None] for repeats in curves.values()]
    every = [of for of_one in by_value for of in of_one]
    n_finished = sum(bool(c.scores) for c in summary.configurations)
    if len(configurations) < n_finished:
        yield f"Of {n_finished} configurations, the {len(configurations)} with the best mean."
    if max(map(len, by_value)) < 2:
        yield "With one repeat there is no interval and no verdict: --repeats 5 gives both."
    if n_gone := sum(not of.losses for of in every):
        is_kept = summary.record.score.is_accuracy
        lost = "where their loss turned is" if is_kept else "their curves are"
        yield f"The run files of {n_gone} of {len(every)} trainings are gone: {lost} not known."
    if every[0].loss_name == "log_loss":
        yield "The configurations have different loss functions: the log loss is compared."
    if len({c.config.epochs for c in configurations}) > 1:
        yield (
            "The configurations train for different numbers of epochs: to reach an accuracy, or "
            "turn, counts up to the smallest of them."
        )
