"""Figures of a search: history, parameter importances, and the score by parameter.

`optuna.visualization` is not used: it has no repeats, finalists or pruned scores, and shows
choices as Python text.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Final

import optuna
from optuna.trial import create_trial
from plotly.graph_objects import Figure

from hpo.config import Scalar
from hpo.plots import axes
from hpo.plots.axes import Plot
from hpo.space import Choices, Parameter
from hpo.space.records import params_lines, value_text
from hpo.storage.opening import quiet_optuna
from hpo.study.score import Score
from hpo.study.summary import Configuration, StudySummary

MAX_SCORES: Final = 600
MAX_PRUNED: Final = 200
MAX_SLICED: Final = 240
MAX_COLUMNS: Final = 6
MAX_LETTERS: Final = 25
"""The most columns of a small figure, and the most letters of their horizontal labels."""
MIN_CONFIGURATIONS: Final = 10
# PED-ANOVA compares the best with all; its documentation recommends at least five best.
_N_BEST: Final = 5
_QUANTILE: Final = 0.1
_FAR_OUT: Final = 3.0
"""Beyond this many interquartile ranges a point is "far out" (Tukey 1977)."""

_LOOKS: Final[Mapping[str, tuple[str, str, str]]] = {
    "complete": ("complete", axes.color(0), "circle"),
    "unfinished": ("repeats missing", axes.color(0), "circle-open"),
    "pruned": ("pruned, at its last epoch", axes.GRAY, "x-thin-open"),
    "finalist": ("finalist, retrained", axes.color(2), "diamond"),
}


def plot_history(summary: StudySummary) -> Plot | None:
    """Plot the scores in order, by state, and the best so far; None without a score.

    A finalist has two points: its score in the search and that of its new repeats. If there are
    very many points, some are left out, but the line of the best score includes them.
    """
    score = summary.record.score
    points = [(c, *entry) for c in summary.configurations if (entry := _state(c, score))]
    if not points:
        return None

    def rank(point: tuple[Configuration, str, float, str]) -> tuple[float, ...]:
        return point[0] is summary.best, score.rank(point[2])

    scored = [point for point in points if point[1] != "pruned"]
    pruned = [point for point in points if point[1] == "pruned"]
    dots, dots_left_out = axes.thinned(scored, rank, most=MAX_SCORES, noun="scores")
    crosses, crosses_left_out = axes.thinned(pruned, rank, most=MAX_PRUNED, noun="crosses")
    best: list[tuple[int, float]] = []
    for c, state, value, _ in points:
        if state == "complete" and (not best or score.rank(value) > score.rank(best[-1][1])):
            best.append((c.number, value))
    places: dict[str, list[tuple[int, float, str]]] = {state: [] for state in _LOOKS}
    for c, state, value, note in sorted([*dots, *crosses], key=lambda point: point[0].number):
        text = axes.lines(axes.name_of(summary, c), note, *params_lines(c.params))
        places[state].append((c.number, value, text))
    for member in summary.finalists.members if summary.finalists else ():
        if member.fresh and member.fresh.mean is not None:
            note = f"retrained: {axes.score_text(member.fresh, score)}"
            text = axes.lines(member.tag, note)
            places["finalist"].append((member.number, member.fresh.mean, text))

    last = summary.configurations[-1].number
    figure = axes.empty(height=380, x_title="configuration (in order)")
    margin = 0.5 + 0.01 * last
    span = (1 - margin, last + margin)
    figure.update_xaxes(axes.count_axis(*span))
    values, outside = _near(score, [value for marks in places.values() for _, value, _ in marks])
    axes.set_scores(figure, score, values, summary.shown_baselines, span)
    if best:
        numbers, steps = zip(*best, strict=True)
        figure.add_scatter(
            x=[*numbers, last],
            y=[*steps, steps[-1]],
            mode="lines",
            line={"shape": "hv", "color": axes.color(1), "width": 2},
            name="best so far",
            hoverinfo="skip",
        )
    for state, (name, shade, symbol) in _LOOKS.items():
        ring = {"width": 2, "color": shade}
        look = {"color": shade, "symbol": symbol, "size": 9, "line": ring}
        if places[state]:
            figure.add_trace(axes.points(places[state], look, name=name))

    caption = (
        f"Each point is the mean score of a configuration, in the order of the "
        f"{summary.record.kind}. The line is the best score so far, which partly improves by luck "
        f"as more configurations are tried.{_lower_is_better(score)}"
    )
    if pruned:
        caption += f" Crosses ({len(pruned)}) were stopped early, at their last score."
    caption += dots_left_out + crosses_left_out + outside
    if places["finalist"]:
        caption += " Diamonds are the means of the retrained finalists, without that luck."
    return Plot("history", "History", caption, (figure,))


def _state(configuration: Configuration, score: Score) -> tuple[str, float, str] | None:
    """Return state, score, and a text for both; None without a score."""
    if configuration.state == "pruned":
        repeat = next(r for r in configuration.repeats if r.state == "pruned")
        last = repeat.last_reported
        if last is None or not math.isfinite(last):
            return None
        return "pruned", last, f"pruned in epoch {repeat.n_epochs} at {score.text(last)}"
    interval = configuration.score
    if interval is None or interval.mean is None:
        return None
    state = "complete" if configuration.state == "complete" else "unfinished"
    return state, interval.mean, axes.score_text(interval, score)


def plot_importances(study: optuna.Study, summary: StudySummary) -> Plot | None:
    """Plot PED-ANOVA importances over configuration means; None for one parameter.

    The repeats of a configuration count as one trial, so that all configurations have the same
    weight. The caption says if scores are too few, and names parameters that are rarely used.
    """
    if len(summary.record.names) < 2:
        return None
    scored = [c for c in summary.configurations if c.searched is not None]
    n = len(scored)
    values = {
        name: [c.params[name] for c in scored if name in c.params] for name in summary.record.names
    }
    values = {name: active for name, active in values.items() if len({*active}) > 1}
    varied = [name for name, active in values.items() if len(active) >= MIN_CONFIGURATIONS]
    key, title = "importances", "Importance of the parameters"
    if n < MIN_CONFIGURATIONS or len(varied) < 2 or len({c.searched for c in scored}) == 1:
        reason = (
            f"{n} configurations have a score. Importances need {MIN_CONFIGURATIONS} with "
            "different scores, and two parameters that vary; with fewer they would be noise, so "
            "they are not shown."
        )
        return Plot(key, title, reason, ())
    n_best = max(_N_BEST, math.ceil(_QUANTILE * n))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=n_best / n)
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    quiet_optuna()
    means = optuna.create_study(direction=summary.record.score.kind.direction)
    for c in scored:
        first = trials[next(r.trial for r in c.repeats if r.score is not None)]
        drawn_from, mean = first.distributions, c.searched
        means.add_trial(create_trial(params=first.params, distributions=drawn_from, value=mean))
    with warnings.catch_warnings():
        # Optuna warns about conditional parameters.
        warnings.simplefilter("ignore", UserWarning)
        shares = optuna.importance.get_param_importances(means, evaluator=evaluator, params=varied)
    caption = (
        f"How strongly each parameter separates the best {n_best} of {n} configurations from all "
        "of them (PED-ANOVA on means of repeats). The share shows how much a parameter mattered "
        "within the ranges of the study, not which value is good."
    )
    if n_pruned := sum(c.state == "pruned" and not c.scores for c in summary.configurations):
        caption += f" Pruned configurations ({n_pruned}) are left out."
    if rare := [name for name in values if name not in varied]:
        caption += (
            f" Not shown, because fewer than {MIN_CONFIGURATIONS} configurations use it: "
            f"{', '.join(rare)}."
        )
    names = list(shares)[::-1]
    figure = axes.empty(height=90 + 32 * len(names), x_title="importance")
    figure.add_bar(
        x=[shares[name] for name in names],
        y=list(map(axes.label, names)),
        orientation="h",
        marker={"color": axes.color(0)},
        texttemplate="%{x:.0%}",
        textposition="outside",
        cliponaxis=False,
        customdata=[len(values[name]) for name in names],
        hovertemplate="%{y}: %{x:.1%}<br>active in %{customdata} configurations<extra></extra>",
    )
    figure.update_xaxes(tickformat=".0%", range=[0, 1.12 * max(shares.values())])
    return Plot(key, title, caption, (figure.update_yaxes(showgrid=False, ticks=""),))


def plot_slices(summary: StudySummary) -> Plot | None:
    """Plot the score by each parameter of a search that has at least two values."""
    score = summary.record.score
    scored = [(c, c.searched) for c in summary.configurations if c.searched is not None]
    if summary.record.kind != "search" or not scored:
        return None
    shown, left_out = axes.thinned(
        scored, lambda item: summary.full_rank(item[0]), most=MAX_SLICED, noun="configurations"
    )
    near, outside = _near(score, [mean for _, mean in shown])
    axis = axes.score_axis(score, near) | {"title_text": score.title}
    figures = []
    for parameter in summary.record.space.search:
        active = [(c, mean) for c, mean in shown if parameter.name in c.params]
        is_varied = len({c.params[parameter.name] for c, _ in active}) > 1
        if parameter.name not in summary.record.names or not is_varied:
            continue
        figure = axes.empty(height=250, x_title=parameter.name)
        # Automatic margins would take half of the time to draw a page.
        figure.update_layout(margin={"l": 60, "r": 16, "t": 10, "b": 50}, font_size=11)
        figure.update_yaxes(nticks=6).update_yaxes(axis, automargin=False)
        places = _place(figure, parameter, [c.params[parameter.name] for c, _ in active])
        dots = [
            (place, mean, f"#{c.number}: {score.text(mean)}")
            for place, (c, mean) in zip(places, active, strict=True)
        ]
        look = axes.marker(0, size=8, is_open=True) | {
            "color": [axes.color(1 if c is summary.best else 0) for c, _ in active],
            "size": [14 if c is summary.best else 8 for c, _ in active],
        }
        figures.append(figure.add_trace(axes.points(dots, look)))
    if not figures:
        return None
    winner = "winner of the finalists, at its score in the search"
    caption = (
        "Each point is the mean score of a configuration that was not pruned. The large point is "
        f"the {winner if summary.finalists else 'best'}."
        f"{_lower_is_better(score)} All parameters varied at once, so a slope can be due to "
        f"another parameter.{left_out}{outside}"
    )
    return Plot("slices", "Score by parameter", caption, tuple(figures))


def _near(score: Score, values: Sequence[float]) -> tuple[list[float], str]:
    """Return the values that an axis shows, and a sentence on those outside it.

    On the scale of scores that are far worse, such as those of collapsed networks, the others
    could not be told apart.
    """
    if len(values) < MIN_CONFIGURATIONS:
        return list(values), ""
    first, _, third = quantiles(map(score.rank, values), n=4)
    worst = first - _FAR_OUT * max(third - first, axes.LEAST_SPAN)
    near = [value for value in values if score.rank(value) >= worst]
    if len(near) == len(values):
        return near, ""
    return near, (
        f" Scores far worse than the others ({len(values) - len(near)}) are outside the figure; "
        "a double click on it shows them."
    )


def _place(figure: Figure, parameter: Parameter, values: list[Scalar]) -> list[float]:
    """Set the axis of a parameter, and return the positions of its values."""
    is_log = not isinstance(parameter, Choices) and parameter.log
    labels = () if is_log else parameter.labels or ()
    if isinstance(parameter, Choices) or 0 < len(labels) <= MAX_COLUMNS:
        columns = list(map(value_text, labels))
        figure.update_xaxes(axes.label_axis(columns), automargin=False)
        if sum(map(len, columns)) > MAX_LETTERS:
            # Labels turned to the right would lose the last one at the edge of the figure.
            figure.update_xaxes(automargin=True, tickangle=-30)
        # The golden ratio spreads points over the column of a value reproducibly.
        return [
            columns.index(value_text(value)) + (i * 0.618 % 1 - 0.5) * 0.5
            for i, value in enumerate(values)
        ]
    places = list(map(float, values))
    figure.update_xaxes(automargin=False)
    if is_log:
        # On a small figure, labels between the powers of ten would touch.
        dtick = 1 if math.log10(max(places) / min(places)) > 2 else None
        figure.update_xaxes(type="log", exponentformat="power", dtick=dtick)
    return places


def _lower_is_better(score: Score) -> str:
    return "" if score.kind.direction == "maximize" else f" A lower {score.title} is better."
