"""How a configuration and a score are called in figures and tables."""

from collections.abc import Sequence

from hpo.space.records import short_text
from hpo.stats import Interval
from hpo.study.score import Score
from hpo.study.summary import Configuration, StudySummary


def parameter_text(configuration: Configuration, name: str) -> str:
    """Return the value of one parameter; a dash where the configuration does not have it."""
    value = configuration.params.get(name)
    return "-" if value is None else short_text(value)


def configuration_label(summary: StudySummary, configuration: Configuration) -> str:
    """Return a short name of a configuration.

    In a grid its values; in a search, whose configurations differ in everything, its number.
    """
    names = summary.record.names
    if summary.record.kind == "search":
        return f"#{configuration.number}"
    if len(names) == 1:
        return f"{names[0]} {parameter_text(configuration, names[0])}"
    return configuration.label


def percent(accuracy: float) -> str:
    """Write an accuracy, such as a baseline's; it never breaks at the sign."""
    return f"{100 * accuracy:.1f}\u00a0%"


def mean_text(found: Interval | None, score: Score) -> str:
    """Write a mean; a dash where there is none."""
    if found is None or found.mean is None:
        return "-"
    return score.text(found.mean)


def interval_text(found: Interval | None, score: Score) -> str:
    """Write the interval of a mean; a dash below two repeats."""
    if found is None or found.low is None or found.high is None:
        return "-"
    return score.range_text(found.low, found.high)


def score_text(found: Interval, score: Score) -> str:
    """Return a mean with its interval, and of how many repeats."""
    if found.mean is None:
        return "no score"
    if found.low is None:
        return f"{score.text(found.mean)} (one repeat: no interval)"
    return f"{score.text(found.mean)} ({interval_text(found, score)}, {found.n} repeats)"


def direction_text(score: Score) -> str:
    """Say that lower is better, where it is; it goes on after a sentence of a caption."""
    return "" if score.kind.direction == "maximize" else f" A lower {score.title} is better."


def list_text(items: Sequence[str], *, limit: int = 12) -> str:
    """Return `a, b and c`, cut with how many more there are."""
    if len(items) > limit:
        return f"{', '.join(items[:limit])} and {len(items) - limit} more"
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
