"""What a search tried: its history, the importance of its parameters, the score by each of them.

They are not those of `optuna.visualization`, which knows no repeats, finalists or pruned scores,
and names a choice by its Python text.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Final, TypeAlias

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
MIN_CONFIGURATIONS: Final = 10
# PED-ANOVA compares the best with all; its documentation asks for at least five among the best.
_N_BEST: Final = 5
_QUANTILE: Final = 0.1

_LOOKS: Final[Mapping[str, tuple[str, str, str]]] = {
    "complete": ("complete", axes.color(0), "circle"),
    "unfinished": ("with repeats missing", axes.color(0), "circle-open"),
    "pruned": ("pruned, at its last epoch", axes.GRAY, "x-thin-open"),
    "finalist": ("finalist, retrained", axes.color(2), "diamond"),
}
# State, number, score, and the text over the point.
_Point: TypeAlias = tuple[str, int, float, str]


def plot_history(summary: StudySummary) -> Plot | None:
    """Plot the scores in order, by state, and the best so far; None while there is no score.

    A finalist has two points, of the search and of its new repeats. Of very many points some are
    left out; the best so far is that of all.
    """
    score = summary.record.score
    points = [point for c in summary.configurations if (point := _point(summary, c))]
    if not points:
        return None
    last = summary.configurations[-1].number
    finalists: list[_Point] = [
        ("finalist", m.number, m.fresh.mean, axes.lines(m.tag, f"retrained: {text}"))
        for m in (summary.finalists.members if summary.finalists else ())
        if m.fresh and m.fresh.mean is not None and (text := axes.score_text(m.fresh, score))
    ]

    def rank(point: _Point) -> tuple[float, ...]:
        is_best = summary.numbered[point[1]] is summary.best
        return is_best, score.rank(point[2])

    scored = [point for point in points if point[0] != "pruned"]
    pruned = [point for point in points if point[0] == "pruned"]
    dots, dots_left_out = axes.thinned(scored, rank, most=MAX_SCORES, noun="scores")
    crosses, crosses_left_out = axes.thinned(pruned, rank, most=MAX_PRUNED, noun="crosses")
    best: list[tuple[int, float]] = []
    for state, number, value, _ in points:
        if state == "complete" and (not best or score.rank(value) > score.rank(best[-1][1])):
            best.append((number, value))

    shown = [*sorted([*dots, *crosses], key=lambda point: point[1]), *finalists]
    figure = axes.empty(height=380, x_title="configuration, in order")
    margin = 0.5 + 0.01 * last
    span = (1 - margin, last + margin)
    figure.update_xaxes(axes.count_axis(*span))
    values = [value for _, _, value, _ in shown]
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
        if places := [(n, value, hover) for of, n, value, hover in shown if of == state]:
            figure.add_trace(axes.points(places, look, name=name))

    caption = (
        f"Each point is the mean score of a configuration, in the order of the "
        f"{summary.record.kind}; the line is the best so far, which also gets better by luck the "
        f"more configurations are tried.{axes.direction_text(score)}"
    )
    if pruned:
        caption += f" Crosses ({len(pruned)}) were pruned: stopped early, at their last score."
    caption += dots_left_out + crosses_left_out
    if finalists:
        caption += " Diamonds are the means of the retrained finalists, without that luck."
    return Plot("history", "History", caption, (figure,))


def _point(summary: StudySummary, configuration: Configuration) -> _Point | None:
    score, found = summary.record.score, configuration.score
    name, params = axes.name_of(summary, configuration), params_lines(configuration.params)
    if configuration.state == "pruned":
        repeat = next(r for r in configuration.repeats if r.state == "pruned")
        last = repeat.last_reported
        if last is None or not math.isfinite(last):
            return None
        said = f"pruned in epoch {repeat.n_epochs} at {score.text(last)}"
        return "pruned", configuration.number, last, axes.lines(name, said, *params)
    if found is None or found.mean is None:
        return None
    state = "complete" if configuration.state == "complete" else "unfinished"
    text = axes.lines(name, axes.score_text(found, score), *params)
    return state, configuration.number, found.mean, text


def plot_importances(study: optuna.Study, summary: StudySummary) -> Plot | None:
    """Plot the importances (PED-ANOVA) over the means of configurations; None of one parameter.

    Repeats of a configuration count once: as separate trials, they would make what was repeated
    most look like what was tried most. Where importances would mean nothing, the caption says why.
    """
    if len(summary.record.names) < 2:
        return None
    scored = _scored(summary)
    n = len(scored)
    values = {name: {c.params.get(name) for c in scored} for name in summary.record.names}
    varied = [name for name, of_one in values.items() if len(of_one) > 1]
    key, title = "importances", "Importance of the parameters"
    if n < MIN_CONFIGURATIONS or len(varied) < 2 or len({_mean(c) for c in scored}) == 1:
        reason = (
            f"{n} configurations have a score. Importances need {MIN_CONFIGURATIONS} with "
            "different scores, and two parameters that vary: with less they are noise and are "
            "not shown."
        )
        return Plot(key, title, reason, ())
    n_best = max(_N_BEST, math.ceil(_QUANTILE * n))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=n_best / n)
    with warnings.catch_warnings():
        # A rare conditional parameter warns; the caption says so instead.
        warnings.simplefilter("ignore", UserWarning)
        shares = optuna.importance.get_param_importances(
            _by_configuration(study, summary), evaluator=evaluator, params=varied
        )
    n_active = {name: sum(name in c.params for c in scored) for name in shares}
    caption = (
        f"How strongly each parameter separates the best {n_best} of {n} configurations from all "
        "of them (PED-ANOVA on the means of repeats). A share says how much a parameter mattered "
        "in the ranges of the study, not which value is good."
    )
    if n_pruned := sum(c.state == "pruned" and not c.scores for c in summary.configurations):
        caption += f" Pruned configurations ({n_pruned}) are left out."
    if rare := [name for name in shares if n_active[name] < MIN_CONFIGURATIONS]:
        caption += f" Uncertain, as active in fewer than {MIN_CONFIGURATIONS}: {', '.join(rare)}."
    return Plot(key, title, caption, (_draw_importances(shares, n_active),))


def _by_configuration(study: optuna.Study, summary: StudySummary) -> optuna.Study:
    """Return a study in memory with one trial per configuration."""
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    quiet_optuna()
    copied = optuna.create_study(direction=summary.record.score.kind.direction)
    for configuration in _scored(summary):
        first = trials[next(r.trial for r in configuration.repeats if r.score is not None)]
        mean, drawn_from = _mean(configuration), first.distributions
        copied.add_trial(create_trial(params=first.params, distributions=drawn_from, value=mean))
    return copied


def _draw_importances(shares: Mapping[str, float], n_active: Mapping[str, int]) -> Figure:
    """Draw a bar per parameter, the most important on top."""
    names = list(shares)[::-1]
    figure = axes.empty(height=90 + 32 * len(names), x_title="share of the importance")
    figure.add_bar(
        x=[shares[name] for name in names],
        y=list(map(axes.label, names)),
        orientation="h",
        marker={"color": axes.color(0)},
        texttemplate="%{x:.0%}",
        textposition="outside",
        cliponaxis=False,
        customdata=[n_active[name] for name in names],
        hovertemplate="%{y}: %{x:.1%}<br>active in %{customdata} configurations<extra></extra>",
    )
    figure.update_xaxes(tickformat=".0%", range=[0, 1.12 * max(shares.values())])
    return figure.update_yaxes(showgrid=False, ticks="")


def plot_slices(summary: StudySummary) -> Plot | None:
    """Plot the score by each parameter of a search that has at least two values."""
    scored, score = _scored(summary), summary.record.score
    if summary.record.kind != "search" or not scored:
        return None
    shown, left_out = axes.thinned(
        scored, summary.full_rank, most=MAX_SLICED, noun="configurations"
    )
    axis = axes.score_axis(score, [_mean(c) for c in shown]) | {"title_text": score.title}
    figures = []
    for parameter in summary.record.space.search:
        active = [c for c in shown if parameter.name in c.params]
        is_varied = len({c.params[parameter.name] for c in active}) > 1
        if parameter.name in summary.record.names and is_varied:
            figures.append(_draw_slice(parameter, active, summary.best, score).update_yaxes(axis))
    if not figures:
        return None
    winner = "winner of the finalists, with its score in the search"
    caption = (
        "Each point is the mean score of one configuration that was not pruned; the large one is "
        f"the {winner if summary.finalists else 'best'}."
        f"{axes.direction_text(score)} All parameters varied at once, so a slope "
        f"here can belong to another parameter.{left_out}"
    )
    return Plot("slices", "Score by parameter", caption, tuple(figures))


def _draw_slice(
    parameter: Parameter, found: list[Configuration], best: Configuration | None, score: Score
) -> Figure:
    """Draw one small figure; the page puts them side by side."""
    figure = axes.empty(height=250, x_title=parameter.name).update_yaxes(nticks=6)
    figure.update_layout(margin_t=10, font_size=11)
    places: list[Scalar] = [c.params[parameter.name] for c in found]
    is_log = not isinstance(parameter, Choices) and parameter.log
    labels = () if is_log else parameter.labels or ()
    if isinstance(parameter, Choices) or 0 < len(labels) <= MAX_COLUMNS:
        columns = list(map(value_text, labels))
        figure.update_xaxes(axes.label_axis(columns))
        # The golden ratio spreads points over the column of a value, the same way each time.
        places = [
            columns.index(value_text(value)) + (i * 0.618 % 1 - 0.5) * 0.5
            for i, value in enumerate(places)
        ]
    elif is_log:
        # The tick labels between the powers of ten would touch on a small figure.
        decades = math.log10(max(map(float, places)) / min(map(float, places)))
        figure.update_xaxes(type="log", exponentformat="power", dtick=1 if decades > 2 else None)
    hover = [f"#{c.number}: {score.text(_mean(c))}" for c in found]
    dots = list(zip(map(float, places), map(_mean, found), hover, strict=True))
    look = axes.marker(0, size=8, is_open=True) | {
        "color": [axes.color(1 if c is best else 0) for c in found],
        "size": [14 if c is best else 8 for c in found],
    }
    return figure.add_trace(axes.points(dots, look))


def _scored(summary: StudySummary) -> list[Configuration]:
    return [c for c in summary.configurations if c.score and c.score.mean is not None]


def _mean(configuration: Configuration) -> float:
    assert configuration.score is not None
    assert configuration.score.mean is not None
    return configuration.score.mean
