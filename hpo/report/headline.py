"""The short answer at the top of the page."""

from collections.abc import Iterator
from dataclasses import dataclass

from hpo.plots import interval_text, parameters_text, percent
from hpo.stats import Interval
from hpo.summary import Configuration, StudySummary


@dataclass(frozen=True, kw_only=True)
class Headline:
    """What was done in one line, the best configuration, and what to make of it."""

    done: str
    best: str
    score: str
    interval: str
    baselines: tuple[tuple[str, str], ...]
    trainings: str
    notes: tuple[str, ...]


def headline(summary: StudySummary) -> Headline:
    """Return the short answer. It calls no difference real: that is for the verdict."""
    best = summary.best
    score = best.score if best else None
    return Headline(
        done=_done(summary),
        best=parameters_text(best, summary.record.names) if best else "none yet",
        score=percent(score.mean) if score and score.mean is not None else "-",
        interval="needs repeats" if score and score.low is None else interval_text(score),
        baselines=tuple((name, percent(value)) for name, value in summary.baselines.items()),
        trainings=_trainings(summary),
        notes=tuple(_notes(summary, best)),
    )


def _done(summary: StudySummary) -> str:
    record, n = summary.record, len(summary.configurations)
    repeats = f"{_count(summary.goal.n_repeats, 'repeat')} each"
    if record.kind == "grid":
        return f"{_count(n, 'configuration')} of {' x '.join(record.names)}, {repeats}"
    return f"{_count(n, 'configuration')} over {_count(len(record.names), 'parameter')}, {repeats}"


def _trainings(summary: StudySummary) -> str:
    n_reused = sum(r.is_reused for c in summary.configurations for r in c.repeats)
    words = [f"{summary.count('complete')} finished"]
    words += [f"{n_reused} of them from the run store"] if n_reused else []
    words += [f"{n} {state}" for state in ("pruned", "failed") if (n := summary.count(state))]
    n_open = summary.count("running") + summary.count("waiting")
    words += [f"{n_open} still to finish"] if n_open else []
    if summary.n_trained or summary.n_reused:
        words.append(f"the last call trained {summary.n_trained}, reused {summary.n_reused}")
    return ", ".join(words)


def _notes(summary: StudySummary, best: Configuration | None) -> Iterator[str]:
    if best is None or best.score is None or best.score.mean is None:
        yield "No configuration has all its repeats yet; what is finished is shown below."
        return
    if summary.baselines:
        title = summary.record.score.title
        yield f"Its mean {title} is {_beside_baselines(best.score.mean, summary)}."
    others = [c.score for c in summary.configurations if c.score and c is not best]
    if summary.verdict is None or not summary.verdict.pairs:
        yield from _on_intervals(best.score, others)
    if summary.record.kind == "search" and others:
        yield (
            f"It was chosen for its score among {len(summary.configurations)}, so part of that "
            "score is luck: expect somewhat less when it is trained again."
        )


def _beside_baselines(mean: float, summary: StudySummary) -> str:
    return " and ".join(
        f"{_beside(100 * (mean - value))} {name}" for name, value in summary.baselines.items()
    )


def _beside(points: float) -> str:
    if abs(points) < 0.05:
        return "level with"
    return f"{abs(points):.1f} points {'above' if points > 0 else 'below'}"


def _on_intervals(best: Interval, others: list[Interval]) -> Iterator[str]:
    if best.low is None:
        yield (
            "With one repeat there is no interval, and how much of the order is luck cannot be "
            "told; more repeats give one."
        )
        return
    highs = [other.high for other in others if other.high is not None]
    n_overlap = sum(high >= best.low for high in highs)
    if highs:
        yield (
            f"Of {len(highs)} other intervals, {n_overlap} overlap with its own. Intervals that "
            "overlap tell no winner, and this page tests no difference."
        )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
