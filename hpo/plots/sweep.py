"""The sweep of a grid: every repeat, mean and interval per configuration; the differences."""

from collections.abc import Sequence
from typing import Final

from plotly.graph_objects import Figure

from hpo.plots import axes
from hpo.plots.axes import Plot
from hpo.space.records import params_text, short_text
from hpo.stats import PairComparison, SweepComparison
from hpo.stats.sentences import label, margin_text
from hpo.study.score import Score
from hpo.study.summary import Configuration, StudySummary
from hpo.tables import DASH

# Enough for all combinations of five parameters with three values each.
MAX_CELLS: Final = 300
MAX_GROUPS: Final = 81
MAX_PAIRS: Final = 30
# Color, symbol and legend text of each answer.
_ANSWERS: Final = {
    "better": (2, "circle", "one is better"),
    "same": (0, "square", "no difference that matters"),
    "undecided": (1, "diamond-open", "undecided"),
}
_WIDTH: Final = 0.8


def plot_sweep(summary: StudySummary) -> Plot | None:
    """Plot the scores by the first parameter, a series per combination of all others.

    None if no training is finished.
    """
    first, *others = summary.record.names
    finished = [c for c in summary.configurations if c.scores]
    if not finished:
        return None
    shown, left_out = summary.configurations, ""
    n_groups = len({_group(c, others) for c in finished})
    if len(finished) > MAX_CELLS or n_groups > MAX_GROUPS:
        ranked = sorted(range(len(finished)), key=lambda i: summary.full_rank(finished[i]))
        shown = tuple(finished[i] for i in sorted(ranked[-MAX_GROUPS:]))
        left_out = f" Of {len(finished):,} configurations the best {len(shown)} are drawn."
    values = list(dict.fromkeys(_value(c, first) for c in shown))
    groups: dict[str, list[Configuration]] = {}
    for configuration in shown:
        if configuration.scores:
            groups.setdefault(_group(configuration, others), []).append(configuration)

    score, drawn = summary.record.score, [c for group in groups.values() for c in group]
    figure = axes.empty(height=420 + 12 * len(groups), x_title=first)
    figure.update_xaxes(axes.label_axis(values))
    ends = [end for c in drawn if c.score for end in (c.score.low, c.score.high)]
    scores = [*(x for c in drawn for x in c.scores), *(end for end in ends if end is not None)]
    span = (-0.5, len(values) - 0.5)
    axes.set_scores(figure, score, scores, summary.shown_baselines, span)
    slot = _WIDTH / len(groups)
    for index, (group, configurations) in enumerate(groups.items()):
        offset = slot * (index - (len(groups) - 1) / 2)
        placed = []
        for configuration in configurations:
            value = _value(configuration, first)
            name_text = ", ".join(filter(None, [f"{first} {value}", group]))
            placed.append((values.index(value) + offset, name_text, configuration))
        legend = axes.label(group) if len(groups) > 1 else None
        _add_series(figure, placed, score, index, slot=slot, legend=legend, is_joined=not others)

    caption = "Each small open point is one training"
    if not others and any(len(c.scores) > 1 for c in drawn):
        caption += "; thin lines join the same repeat (one seed, one fold)"
    if any(len(c.scores) > 1 for c in drawn):
        caption += (
            ". Each marker with a bar is the mean of a configuration and its 95 % interval; if "
            "intervals overlap, this figure names no winner"
        )
    else:
        caption += "; with one repeat there is no interval, and the order may be due to luck"
    caption += f"; each color is one {' and '.join(others)}" if others else ""
    caption += f". The axis does not begin at 0.{left_out}"
    return Plot("sweep", "Sweep", caption, (figure,))


def plot_differences(verdict: SweepComparison | None) -> Plot | None:
    """Plot the difference of each pair with its interval, against zero and the margin.

    None if no pair is compared, or too many for a figure.
    """
    pairs = [p for p in verdict.pairs if p.low is not None] if verdict else []
    if verdict is None or not 0 < len(pairs) <= MAX_PAIRS:
        return None
    kind, factor = verdict.kind, 100 if verdict.kind.is_share else 1
    unit = "points" if kind.is_share else "score"
    figure = axes.empty(height=150 + 34 * len(pairs), x_title=f"difference in {unit}")
    margin = factor * (kind.margin or 0.0)
    reach = 1.1 * max(margin, *(factor * abs(end) for pair in pairs for end in _ends(pair)))
    figure.update_xaxes(range=[-reach, reach])
    figure.add_vrect(x0=-margin, x1=margin, fillcolor=axes.GRAY, opacity=0.18, line_width=0)
    figure.add_vline(x=0, line={"color": axes.GRAY, "width": 1.5})
    for answer, (index, symbol, meaning) in _ANSWERS.items():
        places, above, below = [], [], []
        for place, pair in enumerate(reversed(pairs)):
            if pair.answer != answer:
                continue
            size, low, high = (factor * end for end in _ends(pair))
            places.append((size, place, axes.lines(pair.sentence)))
            above.append(high - size)
            below.append(size - low)
        if places:
            bar = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
            look = axes.marker(index, size=10) | {"symbol": symbol}
            trace = axes.points(places, look, name=meaning, index=index)
            figure.add_trace(trace.update(error_x={**bar, "thickness": 2, "width": 6}))
    names = [f"{label(pair.b)} − {label(pair.a)}" for pair in reversed(pairs)]  # noqa: RUF001
    figure.update_yaxes(axes.label_axis(names))
    better = "Right of zero, the first of the pair has the higher score"
    if kind.direction == "minimize":
        better += ", which is worse"
    caption = (
        "Each pair of values: the mean difference over the repeats of both, with its interval. "
        "Where no difference matters, it is the interval of the two one-sided tests that show it. "
        f"{better}. Within the gray band, less than {margin_text(kind)}, a difference does not "
        "matter."
    )
    return Plot("differences", "Differences", caption, (figure,))


def _ends(pair: PairComparison) -> tuple[float, float, float]:
    """Return the difference and both ends of the interval behind its answer."""
    difference, low, high = (end or 0.0 for end in (pair.difference, pair.low, pair.high))
    if pair.answer == "same" and pair.bound is not None:
        half = pair.bound - abs(difference)
        low, high = difference - half, difference + half
    return difference, low, high


def _value(configuration: Configuration, name: str) -> str:
    value = configuration.params.get(name)
    return DASH if value is None else short_text(value)


def _group(configuration: Configuration, others: Sequence[str]) -> str:
    """Return the other parameters as text; "no …" if none has an effect."""
    named = {name: value for name, value in configuration.params.items() if name in others}
    return params_text(named) if named or not others else f"no {' or '.join(others)}"


def _add_series(
    figure: Figure,
    placed: Sequence[tuple[float, str, Configuration]],
    score: Score,
    index: int,
    *,
    slot: float,
    legend: str | None,
    is_joined: bool,
) -> None:
    """Add the repeats of each configuration, with its mean to the left of them.

    If requested, lines join the same repeat across configurations, as pairs compare these.
    """
    repeats, means, halves = [], [], []
    joined: dict[int, list[tuple[float, float]]] = {}
    for center, name_text, configuration in placed:
        scored = [(r.number, r.score) for r in configuration.repeats if r.score is not None]
        n = len(scored)
        for place, (repeat, value) in enumerate(scored):
            x = center if n == 1 else center + slot * (0.12 + 0.3 * place / (n - 1))
            joined.setdefault(repeat, []).append((x, value))
            text = axes.lines(name_text, f"repeat {repeat}: {score.text(value)}")
            repeats.append((x, value, text))
        ci = configuration.score
        if ci and ci.mean is not None and ci.low is not None and ci.high is not None:
            means.append((center, ci.mean, axes.lines(name_text, axes.score_text(ci, score))))
            # Intervals are limited to valid scores, so the two halves may differ.
            both = (ci.high - ci.mean, ci.mean - ci.low)
            halves.append(both if score.range_text(ci) else (0.0, 0.0))
    look = {"color": axes.color(index, alpha=0.25), "width": 1}
    for line in joined.values() if is_joined else ():
        places, scores = zip(*line, strict=True)
        figure.add_scatter(
            x=places, y=scores, mode="lines", line=look, hoverinfo="skip", showlegend=False
        )
    # A legend entry for each group, from its means where it has any.
    ring, name = axes.marker(index, size=7, is_open=True), None if halves else legend
    figure.add_trace(axes.points(repeats, ring, name=name, index=index))
    if halves:
        above, below = zip(*halves, strict=True)
        bar = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
        trace = axes.points(means, axes.marker(index, size=12), name=legend, index=index)
        figure.add_trace(trace.update(error_y={**bar, "thickness": 2, "width": 7}))
