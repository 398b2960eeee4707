"""What learning curves say: which configuration converges faster, is steadier, overfits less.

Six measures are read off the curve of every finished training, averaged over repeats, and compared
pair by pair with the test of `hpo.stats.compare_sweep`. Epochs count from 1.
"""

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Final, Literal

from hpo.config import Scalar
from hpo.evaluate.curve_measures import MEASURES, Curve, Measure
from hpo.stats import Interval, PairComparison, ScoreKind, compare_sweep, mean_interval
from hpo.stats.sentences import label
from hpo.storage.runs import RunStore
from hpo.study.summary import Configuration, Repeat, StudySummary

MOST: Final = 6
"""Configurations that are compared; of more, those with the best mean score."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measure of one configuration, by repeat; None where it is not known.

    Where the event does not happen up to the horizon, the horizon stands for it: of those there
    are `n_never`, and the mean is then a lower bound.
    """

    value: Scalar
    interval: Interval
    repeats: tuple[float | None, ...]
    n_never: int


@dataclass(frozen=True, kw_only=True)
class CurveComparison:
    """One measure for every configuration and every pair of them."""

    measure: Measure
    measured: tuple[Measured, ...]
    pairs: tuple[PairComparison, ...]

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """The lines of a table's cells: the mean, its interval, repeats without the event."""
        return [_cell(self.measure, measured) for measured in self.measured]

    @property
    def tested(self) -> list[PairComparison]:
        """The pairs that have enough repeats."""
        return [pair for pair in self.pairs if pair.low is not None]


@dataclass(frozen=True, kw_only=True)
class LearningCurves:
    """What the curves of a study say. `horizon` is the last epoch that every configuration has."""

    configurations: Mapping[Scalar, Configuration]
    target: float
    target_reason: str
    horizon: int
    comparisons: tuple[CurveComparison, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """What the configurations are called."""
        return [label(value) for value in self.configurations]

    @property
    def outcome(self) -> list[str]:
        """The significant differences, then a line on the others; nothing where none is tested."""
        tested = [pair for one in self.comparisons for pair in one.tested]
        real = [pair.sentence for pair in tested if pair.is_real]
        n_others = len(tested) - len(real)
        which = "the other" if real else "any of"
        others = f"No significant difference in {which} {n_others} comparisons."
        return [*real, others] if n_others else real

    @property
    def about(self) -> list[str]:
        """How the target was chosen, and what limits the comparison."""
        return [f"{_percent(self.target)} accuracy is {self.target_reason}.", *self.notes]

    def to_document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "target": {"accuracy": self.target, "chosen": self.target_reason},
            "horizon": self.horizon,
            "claims": [self._comparison_document(one) for one in self.comparisons],
            "notes": list(self.notes),
        }

    def _comparison_document(self, comparison: CurveComparison) -> dict[str, Any]:
        measure = comparison.measure
        configurations = []
        for one in comparison.measured:
            params = dict(self.configurations[one.value].params)
            document = {"params": params} | asdict(one.interval) | {"repeats": list(one.repeats)}
            configurations.append(document | ({"n_never": one.n_never} if measure.event else {}))
        return {
            "name": measure.name,
            "about": measure.about,
            "unit": measure.unit,
            "better": "high" if measure.is_better_high else "low",
            "configurations": configurations,
            "verdict": {"pairs": [asdict(pair) for pair in comparison.pairs]},
        }


def compare_curves(
    summary: StudySummary, runs: RunStore, *, target: float | None = None
) -> LearningCurves | None:
    """Measure the curves of finished trainings, and compare configurations pair by pair.

    The p-values of each measure are corrected for the number of pairs. None while nothing is
    finished, and where no accuracy is on record.
    """
    chosen = _chosen(summary)
    # Losses of different kinds do not compare: the log loss stands for them.
    loss = "loss" if len({_loss_of(c) for c in chosen.values()}) == 1 else "log_loss"
    curves = {value: _curves(c, runs, loss) for value, c in chosen.items()}
    means = {
        value: fmean(known)
        for value, found in curves.items()
        if (known := [c.accuracy for c in found if c and c.accuracy is not None])
    }
    if not means:
        return None
    reason = "as given"
    if target is None:
        target, reason = _choose_target(means, summary.baselines.values())
    horizon = min(c.config.epochs for c in chosen.values())
    overlap = summary.record.data.overlap
    return LearningCurves(
        configurations=chosen,
        target=target,
        target_reason=reason,
        horizon=horizon,
        comparisons=tuple(_compare(m, curves, target, horizon, overlap) for m in MEASURES),
        notes=tuple(_notes(summary, chosen, curves, loss)),
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


def _loss_of(configuration: Configuration) -> tuple[Any, ...]:
    config = configuration.config
    names = {"loss", "focal_gamma", "label_smoothing"} & set(config.active_fields())
    return tuple((name, getattr(config, name)) for name in sorted(names))


def _curves(configuration: Configuration, runs: RunStore, loss: str) -> list[Curve | None]:
    """Return what is on record of repeat 0, 1, …; None where one is not finished."""
    found = {r.repeat: _curve(r, runs, loss) for r in configuration.repeats}
    return [found.get(i) for i in range(max(found, default=-1) + 1)]


def _curve(repeat: Repeat, runs: RunStore, loss: str) -> Curve | None:
    if repeat.score is None:
        return None
    run = runs.read(repeat.run) if repeat.run else None
    if run is None:  # Its file is gone: what the trial holds is left.
        losses: tuple[float, ...] = ()
        accuracy, accuracies = repeat.accuracy, tuple(repeat.accuracies)
        train = repeat.metrics.get("train", {})
        validation = repeat.metrics.get("validation", {})
    else:
        train, validation = run.train, run.kept.validation
        accuracy = validation["accuracy"]
        accuracies = tuple(epoch.validation["accuracy"] for epoch in run.epochs)
        losses = tuple(epoch.validation[loss] for epoch in run.epochs)
    return Curve(
        accuracy=accuracy,
        accuracies=accuracies,
        losses=losses,
        accuracy_gap=_difference(train, validation, "accuracy"),
        loss_gap=_difference(validation, train, loss),
    )


def _difference(one: Mapping[str, float], other: Mapping[str, float], name: str) -> float | None:
    return one[name] - other[name] if name in one and name in other else None


def _choose_target(means: Mapping[Scalar, float], baselines: Iterable[float]) -> tuple[float, str]:
    """Choose an accuracy that every configuration that learned reaches; return it and why.

    It is a point below the lowest mean, rounded down to a whole percent. A configuration that did
    not get half way from the majority class to the best would make every other one "converge" in
    its first epoch, and does not count.
    """
    best = max(means.values())
    half_way = min((min(baselines, default=0.5) + best) / 2, best)
    learned = {value: mean for value, mean in means.items() if mean >= half_way}
    lowest = min(learned, key=lambda value: learned[value])
    reason = (
        f"one point below the lowest mean accuracy ({100 * learned[lowest]:.1f} %, "
        f"{label(lowest)}), rounded down"
    )
    if len(learned) < len(means):
        reason += ", of those that got at least half way from the baselines to the best"
    return math.floor(100 * learned[lowest] - 1 + 1e-9) / 100, reason


def _compare(
    measure: Measure,
    curves: Mapping[Scalar, Sequence[Curve | None]],
    target: float,
    horizon: int,
    overlap: float,
) -> CurveComparison:
    measure = replace(
        measure,
        title=measure.title.format(target=_percent(target)),
        about=measure.about.format(target=_percent(target)),
    )
    measured: dict[Hashable, Measured] = {}
    for value, found in curves.items():
        numbers = [None if curve is None else measure.of(curve, target) for curve in found]
        n_never = 0
        if measure.event:
            n_never = sum(epoch is not None and epoch > horizon for epoch in numbers)
            numbers = [None if epoch is None else min(epoch, horizon) for epoch in numbers]
        measured[value] = Measured(
            value=value,
            interval=_within(mean_interval(numbers, overlap=overlap), measure, horizon),
            repeats=tuple(numbers),
            n_never=n_never,
        )
    direction: Literal["maximize", "minimize"]
    direction = "maximize" if measure.is_better_high else "minimize"
    comparison = compare_sweep(
        {value: m.repeats for value, m in measured.items()},
        overlap=overlap,
        kind=ScoreKind(direction, is_share=measure.unit == "points"),
    )
    pairs = (
        replace(p, sentence=_sentence(measure, p, measured[p.a], measured[p.b], target))
        for p in comparison.pairs
    )
    return CurveComparison(measure=measure, measured=tuple(measured.values()), pairs=tuple(pairs))


def _within(interval: Interval, measure: Measure, horizon: int) -> Interval:
    """Cut an interval where its measure ends: that of few repeats reaches beyond."""
    if interval.low is None or interval.high is None:
        return interval
    highest = horizon if measure.event else math.inf
    low, high = max(measure.lowest, interval.low), min(highest, interval.high)
    return replace(interval, low=low, high=high)


def _sentence(
    measure: Measure, pair: PairComparison, a: Measured, b: Measured, target: float
) -> str:
    """Say what is known of a measure of two configurations, the winner first."""
    names = f"{label(pair.a)} vs {label(pair.b)}"
    if pair.difference is None or pair.low is None or pair.high is None:
        return f"{names}: too few repeats to compare; at least 2 of both are needed."
    if measure.event and all(m.n_never == m.interval.n for m in (a, b)):
        return f"{names}: both never {measure.event} in any repeat."
    if pair.is_real:
        low, high = sorted((abs(pair.low), abs(pair.high)))
        size, *bounds = (measure.amount(x, least=low) for x in (abs(pair.difference), low, high))
        is_first = (pair.difference > 0) != measure.is_better_high
        winner, loser = (pair.a, pair.b) if is_first else (pair.b, pair.a)
        text = measure.better.format(
            winner=label(winner),
            loser=label(loser),
            target=_percent(target),
            size=f"{size}{measure.unit_text} (95 % interval {' to '.join(bounds)})",
        )
    elif pair.low == pair.high:
        text = f"{names}: the same in every repeat."
    else:
        low_text, high_text = (measure.amount(x, sign="+") for x in (pair.low, pair.high))
        interval = f"95 % interval {low_text} to {high_text}{measure.unit_text}"
        text = f"{names}: no significant difference ({interval})."
    never = [
        f"{label(m.value)} does not {measure.event} in {m.n_never} of {m.interval.n} repeats."
        for m in (a, b)
        if m.n_never
    ]
    return " ".join([text, *never])


def _cell(measure: Measure, measured: Measured) -> tuple[str, ...]:
    interval = measured.interval
    if interval.mean is None:
        return ("-",)
    if measured.n_never == interval.n:
        return ("never",)
    lines = [measure.amount(interval.mean) + (" or more" if measured.n_never else "")]
    if interval.low is not None and interval.high is not None:
        lines.append(f"{measure.amount(interval.low)} to {measure.amount(interval.high)}")
    if measured.n_never:
        lines.append(f"{measured.n_never} of {interval.n} never")
    return tuple(lines)


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.4g} %"


def _notes(
    summary: StudySummary,
    chosen: Mapping[Scalar, Configuration],
    curves: Mapping[Scalar, Sequence[Curve | None]],
    loss: str,
) -> Iterator[str]:
    known = [[curve for curve in found if curve is not None] for found in curves.values()]
    n_finished = sum(bool(c.scores) for c in summary.configurations)
    if len(chosen) < n_finished:
        yield f"The {len(chosen)} of {n_finished} configurations with the best mean are compared."
    if max(map(len, known)) < 2:
        yield "One repeat allows no interval and no comparison: add --repeats 5."
    every = [curve for found in known for curve in found]
    if n_gone := sum(not curve.losses for curve in every):
        lost = "loss" if summary.record.score.is_accuracy else "curve"
        yield f"The run files of {n_gone} of {len(every)} trainings are missing, and their {lost}."
    if loss == "log_loss":
        yield "The configurations have different loss functions: their log loss is compared."
    if len({c.config.epochs for c in chosen.values()}) > 1:
        yield (
            "The configurations train for different numbers of epochs: events count up to the "
            "smallest of them."
        )
