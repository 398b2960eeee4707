"""Which parameters set the best configurations apart, by Optuna's PED-ANOVA."""

import math
import warnings
from dataclasses import dataclass
from typing import Final

import optuna
from plotly import graph_objects as go

from hpo.plots.style import color, label, lines, new_figure
from hpo.study.score import Score
from hpo.study.summary import Configuration, StudySummary

MIN_CONFIGURATIONS: Final = 10
# PED-ANOVA compares the best with all; its documentation asks for at least five among the best
_N_BEST: Final = 5
_QUANTILE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Importance:
    """The share of one parameter, and in how many configurations it was active."""

    name: str
    share: float
    n_active: int


@dataclass(frozen=True, kw_only=True)
class ImportanceInfo:
    """Shares that add up to 1, the largest first; none where they would mean nothing."""

    importances: tuple[Importance, ...]
    n_configurations: int
    caption: str


def importance_info(study: optuna.Study, summary: StudySummary) -> ImportanceInfo:
    """Extract the importances, over the means of configurations.

    Repeats of a configuration count once: as trials of their own, they would make what was
    repeated most look like what was tried most.
    """
    scored = [c for c in summary.configurations if c.score and c.score.mean is not None]
    names = [name for name in summary.record.names if _varies(name, scored)]
    if reason := _reason(summary, scored, names):
        return ImportanceInfo(importances=(), n_configurations=len(scored), caption=reason)
    n_best = max(_N_BEST, math.ceil(_QUANTILE * len(scored)))
    copied = _by_configuration(study, scored, score=summary.record.score)
    shares = _shares(copied, names, n_best / len(scored))
    importances = tuple(
        Importance(name, share, sum(name in c.params for c in scored))
        for name, share in sorted(shares.items(), key=lambda item: -item[1])
    )
    return ImportanceInfo(
        importances=importances,
        n_configurations=len(scored),
        caption=_caption(summary, importances, n_best=n_best, n=len(scored)),
    )


def draw_importances(info: ImportanceInfo) -> go.Figure:
    """Draw a bar per parameter, the most important on top."""
    bars = info.importances[::-1]
    height = 90 + 32 * len(bars)
    figure = new_figure(height=height, x_title="share of the importance", y_title="")
    figure.add_trace(
        go.Bar(
            x=[bar.share for bar in bars],
            y=[label(bar.name) for bar in bars],
            orientation="h",
            marker={"color": color(0)},
            text=[f"{bar.share:.0%}" for bar in bars],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="text",
            hovertext=[_hover(bar, info.n_configurations) for bar in bars],
        )
    )
    longest = max(bar.share for bar in bars)
    figure.update_xaxes(tickformat=".0%", range=[0, 1.12 * longest])
    figure.update_yaxes(showgrid=False, ticks="")
    return figure


def _varies(name: str, configurations: list[Configuration]) -> bool:
    return len({c.params.get(name) for c in configurations}) > 1


def _reason(summary: StudySummary, scored: list[Configuration], names: list[str]) -> str | None:
    """Say why importances would mean nothing here, None where they do mean something."""
    if len(summary.record.names) == 1:
        return (
            f"Only {summary.record.names[0]} varied: its importance is 100 % whatever the scores "
            "are, so there is nothing to show."
        )
    if len(scored) < MIN_CONFIGURATIONS:
        return (
            f"{len(scored)} configurations have a score: with fewer than {MIN_CONFIGURATIONS}, "
            "importances are noise and are not shown."
        )
    if len(names) < 2:
        return "Fewer than two parameters varied among the configurations that have a score."
    if len({c.score.mean for c in scored if c.score}) == 1:
        return "All configurations have the same score: no parameter sets any of them apart."
    return None


def _by_configuration(
    study: optuna.Study, scored: list[Configuration], *, score: Score
) -> optuna.Study:
    """Return a study in memory with one trial per configuration."""
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    copied = _in_memory_study(score)
    for configuration in scored:
        number = next(r.trial for r in configuration.repeats if r.score is not None)
        assert configuration.score is not None
        copied.add_trial(
            optuna.trial.create_trial(
                params=trials[number].params,
                distributions=trials[number].distributions,
                value=configuration.score.mean,
            )
        )
    return copied


def _in_memory_study(score: Score) -> optuna.Study:
    """Return an empty study without the line that Optuna logs for each new one."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(direction=score.kind.direction)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _shares(study: optuna.Study, names: list[str], quantile: float) -> dict[str, float]:
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
    with warnings.catch_warnings():
        # a rare conditional parameter warns; the caption says so instead
        warnings.simplefilter("ignore", UserWarning)
        return optuna.importance.get_param_importances(study, evaluator=evaluator, params=names)


def _caption(
    summary: StudySummary, importances: tuple[Importance, ...], *, n_best: int, n: int
) -> str:
    caption = (
        f"How strongly each parameter sets the best {n_best} of {n} configurations apart from all "
        "of them (PED-ANOVA on the means of repeats); a share says how much a parameter mattered "
        "in the ranges that were searched, not which value is good."
    )
    n_pruned = sum(c.state == "pruned" and not c.scores for c in summary.configurations)
    if n_pruned:
        caption += f" Pruned configurations are left out ({n_pruned})."
    rare = [i.name for i in importances if i.n_active < MIN_CONFIGURATIONS]
    if rare:
        caption += f" Active in fewer than {MIN_CONFIGURATIONS}, so uncertain: {', '.join(rare)}."
    return caption


def _hover(bar: Importance, n_configurations: int) -> str:
    active = f"active in {bar.n_active} of {n_configurations} configurations"
    return lines([f"{bar.name}: {bar.share:.1%}", active])
