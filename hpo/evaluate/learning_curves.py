"""Comparing learning curves: which configuration converges faster, is steadier, overfits less.

Six measures are computed from the curve of every finished training, averaged over repeats, and
compared pair by pair with `hpo.stats.compare_sweep`. Epochs count from 1.
"""

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any, Final, Literal

import numpy as np

from hpo.config import Scalar
from hpo.stats import Interval, PairComparison, ScoreKind, compare_sweep
from hpo.stats.sentences import amounts, label
from hpo.storage.runs import RunStore
from hpo.study.summary import Configuration, StudySummary
from hpo.training.engine import Run

MOST: Final = 6
"""At most this many configurations are compared, those with the best mean scores."""

_LOSS: Final = ("class_weight", "focal_gamma", "label_smoothing", "loss", "outputs")
# By unit of a measure: factor, decimals, and the text after a number.
_UNITS: Final = {"epochs": (1, 1, " epochs"), "points": (100, 1, " points"), "loss": (1, 3, "")}


@dataclass(frozen=True)
class Measure:
    """A measure of a learning curve, and its results in a study.

    `better` is a sentence with the placeholders winner, loser, size. If there is an `event`, the
    measure is its epoch, infinite if it does not happen. No value is below `lowest`.

    `repeats` holds the values of each configuration by repeat, None if unknown. If the event does
    not happen up to the horizon, the horizon is used: `n_never` counts these, and the mean in
    `intervals` is then a lower bound.
    """

    name: str
    heading: str
    unit: Literal["epochs", "points", "loss"]
    about: str
    better: str
    is_better_high: bool = False
    event: str = ""
    lowest: float = -math.inf
    repeats: Mapping[Hashable, Sequence[float | None]] = field(default_factory=dict)
    n_never: Mapping[Hashable, int] = field(default_factory=dict)
    intervals: Mapping[Hashable, Interval] = field(default_factory=dict)
    pairs: tuple[PairComparison, ...] = ()

    @property
    def cells(self) -> Iterator[list[str]]:
        """The lines of the table cells: mean, interval, and repeats without the event."""
        for value, found in self.intervals.items():
            n_never = self.n_never[value]
            if found.mean is None or n_never == found.n:
                yield ["-" if found.mean is None else "never"]
                continue
            lines = [self.amount(found.mean) + " or more" * (n_never > 0)]
            if found.low is not None and found.high is not None:
                lines.append(f"{self.amount(found.low)} to {self.amount(found.high)}")
            yield lines + [f"{n_never} of {found.n} never"] * (n_never > 0)

    @property
    def tested(self) -> list[PairComparison]:
        """The pairs with enough repeats."""
        return [pair for pair in self.pairs if pair.low is not None]

    def amount(self, size: float, *, least: float = 0.0, sign: str = "") -> str:
        """Format a size, with enough decimals that `least` does not look like zero."""
        return amounts([size], *_UNITS[self.unit][:2], least=least, sign=sign)[0]


# fmt: off
MEASURES: Final = (
    Measure("epochs_to_target", "epochs to {target}", "epochs",
            "the first epoch with a validation accuracy of {target} or more",
            "{winner} reaches {target} accuracy earlier than {loser}, by {size}.",
            event="reach it", lowest=1),
    Measure("fluctuation", "fluctuation, points", "points",
            "standard deviation of the validation accuracy around its linear trend over the last "
            "half of the epochs",
            "{winner} is steadier than {loser}, by {size}.", lowest=0),
    Measure("accuracy_gap", "gap in accuracy, points", "points",
            "training minus validation accuracy of the kept weights, both in evaluation mode",
            "{winner} overfits less than {loser}: its gap in accuracy is smaller by {size}."),
    Measure("loss_gap", "gap in loss", "loss",
            "validation minus training loss of the kept weights, both in evaluation mode",
            "{winner} overfits less than {loser}: its gap in loss is smaller by {size}."),
    Measure("loss_turn", "loss turns at epoch", "epochs",
            "the epoch of the lowest validation loss",
            "The validation loss of {winner} turns later than that of {loser}, by {size}.",
            event="turn", lowest=1, is_better_high=True),
    Measure("loss_rise", "loss rises by", "loss",
            "validation loss of the last epoch minus the lowest",
            "The validation loss of {winner} rises less than that of {loser}, by {size}.",
            lowest=0),
)
# fmt: on


@dataclass(frozen=True, kw_only=True)
class LearningCurves:
    """The comparison of curves of a study. `horizon` is the last epoch of every configuration."""

    configurations: Mapping[Scalar, Configuration]
    target: float
    target_reason: str
    horizon: int
    comparisons: tuple[Measure, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The displayed names of the configurations."""
        return [label(value) for value in self.configurations]

    @property
    def outcome(self) -> list[str]:
        """The significant differences and a line on the others; empty if nothing was tested."""
        tested = [pair for one in self.comparisons for pair in one.tested]
        real = [pair.sentence for pair in tested if pair.is_real]
        others = f"{'the other' if real else 'any of'} {len(tested) - len(real)} comparisons"
        return real + [f"No significant difference in {others}."] * (len(tested) > len(real))

    @property
    def about(self) -> list[str]:
        """The choice of the target, and the limits of the comparison."""
        return [f"{_percent(self.target)} accuracy is {self.target_reason}.", *self.notes]

    def to_document(self) -> dict[str, Any]:
        """Return the comparison as plain data."""
        claims = [
            {
                "name": one.name,
                "about": one.about,
                "unit": one.unit,
                "better": "high" if one.is_better_high else "low",
                "configurations": [
                    {"params": dict(configuration.params)}
                    | asdict(one.intervals[value])
                    | {"repeats": list(one.repeats[value])}
                    | ({"n_never": one.n_never[value]} if one.event else {})
                    for value, configuration in self.configurations.items()
                ],
                "verdict": {"pairs": [asdict(pair) for pair in one.pairs]},
            }
            for one in self.comparisons
        ]
        return {
            "target": {"accuracy": self.target, "chosen": self.target_reason},
            "horizon": self.horizon,
            "claims": claims,
            "notes": list(self.notes),
        }


def compare_curves(
    summary: StudySummary, runs: RunStore, *, target: float | None = None
) -> LearningCurves | None:
    """Measure the curves of finished trainings, and compare configurations pair by pair.

    The p-values of each measure are corrected for the number of pairs. None if nothing is
    finished, or if no run file exists.
    """
    is_search = summary.record.kind == "search"
    scored = [c for c in summary.configurations if c.scores]
    ranked = sorted(scored, key=lambda c: (c is summary.best, summary.rank(c)), reverse=True)
    chosen: dict[Scalar, Configuration] = {
        (c.tag if is_search else c.value): c for c in scored if c in ranked[:MOST]
    }
    found = {value: _runs_of(c, runs) for value, c in chosen.items()}
    means = {
        value: fmean(run.kept.validation["accuracy"] for run in of_one if run)
        for value, of_one in found.items()
        if any(of_one)
    }
    if not means:
        return None
    reason = "the given target"
    if target is None:
        target, reason = _choose_target(means, [x["accuracy"] for x in summary.baselines.values()])
    # Different losses are not comparable, so the log loss is used.
    kinds = {
        tuple((n, value) for n, value in c.config.active_fields().items() if n in _LOSS)
        for c in chosen.values()
    }
    loss = "loss" if len(kinds) == 1 else "log_loss"
    numbers = {
        value: [read_curve(run, target=target, loss=loss) if run else {} for run in of_one]
        for value, of_one in found.items()
    }
    lengths = {c.config.epochs for c in chosen.values()}
    overlap = summary.record.data.overlap
    n_read = [sum(run is not None for run in of_one) for of_one in found.values()]
    n_gone = sum(r.score is not None for c in chosen.values() for r in c.repeats) - sum(n_read)
    notes = []
    if len(chosen) < len(scored):
        few = f"The {len(chosen)} of {len(scored)} configurations with the best mean"
        notes.append(f"{few} are compared.")
    if max(n_read) < 2:
        notes.append("One repeat allows no interval and no comparison. Use --repeats 5.")
    if n_gone:
        notes.append(f"{n_gone} trainings are left out because their run files are missing.")
    if loss == "log_loss":
        notes.append(
            "The configurations have different loss functions, so their log loss is compared."
        )
    if len(lengths) > 1:
        notes.append(
            "The configurations train for different numbers of epochs, so events count up to the "
            "smallest of them."
        )
    return LearningCurves(
        configurations=chosen,
        target=target,
        target_reason=reason,
        horizon=min(lengths),
        comparisons=tuple(_compare(m, numbers, target, min(lengths), overlap) for m in MEASURES),
        notes=tuple(notes),
    )


def _runs_of(configuration: Configuration, runs: RunStore) -> list[Run | None]:
    """Return the run of repeat 0, 1, …; None if unfinished or missing."""
    keys = {r.repeat: r.run for r in configuration.repeats if r.score is not None and r.run}
    return [runs.read(keys[i]) if i in keys else None for i in range(1 + max(keys, default=-1))]


def read_curve(run: Run, *, target: float, loss: str) -> dict[str, float | None]:
    """Return the six measures of a training, None for those that are not defined."""
    accuracies = [epoch.validation["accuracy"] for epoch in run.epochs]
    losses = [epoch.validation[loss] for epoch in run.epochs]
    validation = run.kept.validation
    gap = {n: validation[n] - run.train[n] for n in ("accuracy", loss) if n in run.train}
    return {
        "epochs_to_target": epochs_to(accuracies, target),
        "fluctuation": fluctuation(accuracies),
        "accuracy_gap": -gap["accuracy"] if "accuracy" in gap else None,
        "loss_gap": gap.get(loss),
        "loss_turn": turning_epoch(losses),
        "loss_rise": losses[-1] - min(losses),
    }


def epochs_to(accuracies: Sequence[float], target: float) -> float:
    """Return the first epoch at or above the target, infinity if there is none."""
    return next((n for n, value in enumerate(accuracies, start=1) if value >= target), math.inf)


def fluctuation(accuracies: Sequence[float]) -> float | None:
    """Return the standard deviation around the linear trend of the last half of the epochs.

    The trend takes two degrees of freedom. None if the last half has fewer than three epochs.
    """
    half = np.asarray(accuracies[len(accuracies) // 2 :], dtype=np.float64)
    if len(half) < 3:
        return None
    epochs = np.arange(len(half)) - (len(half) - 1) / 2
    slope = (epochs @ half) / (epochs @ epochs)
    residuals = half - half.mean() - slope * epochs
    return math.sqrt((residuals @ residuals) / (len(half) - 2))


def turning_epoch(losses: Sequence[float]) -> float:
    """Return the (last) epoch of the lowest loss, infinity if the loss still falls."""
    lowest = len(losses) - int(np.argmin(losses[::-1]))
    return lowest if lowest < len(losses) else math.inf


def _choose_target(means: Mapping[Scalar, float], baselines: Iterable[float]) -> tuple[float, str]:
    """Choose an accuracy that every configuration that learned reaches; return it and the reason.

    A configuration that is less than half way from the majority class to the best is ignored:
    otherwise all others would "converge" in their first epoch.
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
        reason += ", among those at least half way from the baselines to the best"
    return math.floor(100 * learned[lowest] - 1 + 1e-9) / 100, reason


def _compare(
    measure: Measure,
    found: Mapping[Scalar, Sequence[Mapping[str, float | None]]],
    target: float,
    horizon: int,
    overlap: float,
) -> Measure:
    highest = horizon if measure.event else math.inf
    known = {value: [one.get(measure.name) for one in of_one] for value, of_one in found.items()}
    repeats: dict[Hashable, list[float | None]] = {
        value: [None if n is None else min(n, highest) for n in of_one]
        for value, of_one in known.items()
    }
    sweep = compare_sweep(
        repeats,
        overlap=overlap,
        kind=ScoreKind(
            "maximize" if measure.is_better_high else "minimize",
            is_share=measure.unit == "points",
            margin=None,
        ),
        step=1.0 if measure.event else 0.0,  # Epochs are counted.
    )
    texts = (measure.heading, measure.about, measure.better)
    heading, about, better = (text.replace("{target}", _percent(target)) for text in texts)
    measure = replace(
        measure,
        heading=heading,
        about=about,
        better=better,
        repeats=repeats,
        n_never={
            value: sum(n is not None and n > highest for n in of_one)
            for value, of_one in known.items()
        },
        # With few repeats the interval exceeds the possible range of the measure.
        intervals={
            value: replace(i, low=max(measure.lowest, i.low), high=min(highest, i.high))
            if i.low is not None and i.high is not None
            else i
            for value, i in sweep.values.items()
        },
    )
    said = (replace(pair, sentence=_sentence(measure, pair)) for pair in sweep.pairs)
    return replace(measure, pairs=tuple(said))


def _sentence(measure: Measure, pair: PairComparison) -> str:
    """Describe the difference in a measure between two configurations, the winner first."""
    both, n_never = (pair.a, pair.b), measure.n_never
    names = f"{label(pair.a)} vs {label(pair.b)}"
    if pair.difference is None or pair.low is None or pair.high is None:
        return f"{names}: too few repeats to compare; each needs at least 2."
    n = {value: measure.intervals[value].n for value in both}
    if measure.event and all(n_never[value] == n[value] for value in both):
        return f"{names}: they do not {measure.event} in any repeat."
    unit = _UNITS[measure.unit][2]
    if pair.is_real:
        low, high = sorted((abs(pair.low), abs(pair.high)))
        size, *bounds = (measure.amount(x, least=low) for x in (abs(pair.difference), low, high))
        is_first = (pair.difference > 0) != measure.is_better_high
        winner, loser = map(label, both if is_first else both[::-1])
        size = f"{size}{unit} (95 % interval {' to '.join(bounds)})"
        text = measure.better.format(winner=winner, loser=loser, size=size)
    elif pair.low == pair.high:
        text = f"{names}: the same in every repeat."
    else:
        bounds = [measure.amount(x, sign="+") for x in (pair.low, pair.high)]
        text = f"{names}: no significant difference (95 % interval {' to '.join(bounds)}{unit})."
    never = [
        f"{label(value)} does not {measure.event} in {n_never[value]} of {n[value]} repeats."
        for value in both
        if n_never[value]
    ]
    return " ".join([text, *never])


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.4g} %"
