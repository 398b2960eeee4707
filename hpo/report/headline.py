"""The short answer at the top of the page."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from hpo.evaluate import Evaluation
from hpo.plots.axes import interval_text, mean_text
from hpo.stats import Interval
from hpo.study.score import SCORES
from hpo.study.summary import Configuration, StudySummary


@dataclass(frozen=True, kw_only=True)
class Headline:
    """What was done in one line, the best configuration, and what to make of it."""

    done: str
    best_title: str
    best: str
    score_title: str
    score: str
    interval: str
    baselines: tuple[tuple[str, str], ...]
    test: tuple[tuple[str, str], ...]
    trainings: str
    notes: tuple[str, ...]


def headline(summary: StudySummary, evaluation: Evaluation | None = None) -> Headline:
    """Return the short answer. It calls no difference real: that is for the verdict.

    `evaluation` is what the last opening of the test found.
    """
    best, found, score = summary.best, summary.best_score, summary.record.score
    title = f"Validation {score.title}"
    return Headline(
        done=_done(summary),
        best_title=_best_title(summary),
        best=best.label if best else "none yet",
        score_title=f"{title}, fresh repeats" if summary.finalists else title,
        score=mean_text(found, score),
        interval="needs repeats" if found and found.low is None else interval_text(found, score),
        baselines=tuple(
            (name if score.is_accuracy else f"{name}, accuracy", SCORES["accuracy"].text(value))
            for name, value in summary.baselines.items()
        ),
        test=_test(summary, evaluation),
        trainings=_trainings(summary),
        notes=tuple(_notes(summary, best)),
    )


def _test(summary: StudySummary, evaluation: Evaluation | None) -> tuple[tuple[str, str], ...]:
    found = evaluation.of(summary.best) if evaluation else None
    if found is None:
        return ()
    accuracy, score = found.metrics["accuracy"], SCORES["accuracy"]
    return (
        ("Test accuracy", mean_text(accuracy, score)),
        ("Test accuracy, 95 % interval", interval_text(accuracy, score)),
    )


def _best_title(summary: StudySummary) -> str:
    if not summary.finalists:
        return "Best configuration by mean"
    n, winner = len(summary.finalists.members), summary.finalists.winner
    return f"Winner of {n} finalists: {winner.label}"


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
    words += [f"{summary.n_open} still to finish"] if summary.n_open else []
    if summary.n_trained or summary.n_reused:
        words.append(f"the last call trained {summary.n_trained}, reused {summary.n_reused}")
    return ", ".join(words)


def _notes(summary: StudySummary, best: Configuration | None) -> Iterator[str]:
    if best is None or best.score is None or best.score.mean is None:
        yield "No configuration has all its repeats yet; what is finished is shown below."
        return
    if summary.baselines and (accuracy := _accuracy(best)) is not None:
        plain = f" on unchanged images, {SCORES['accuracy'].text(accuracy)},"
        which = "" if summary.record.score.is_accuracy else plain
        yield f"Its mean validation accuracy{which} is {_beside_baselines(accuracy, summary)}."
    if summary.finalists:
        return
    others = [c.score for c in summary.configurations if c.score and c is not best]
    if summary.verdict is None or not summary.verdict.pairs:
        yield from _on_intervals(best.score, others)
    if summary.record.kind == "search" and others:
        yield (
            f"It was chosen for its score among {len(summary.configurations)}, so part of that "
            f"score is luck: expect somewhat less when it is trained again.{_wanted(summary)}"
        )


def _accuracy(configuration: Configuration) -> float | None:
    """Return its mean accuracy on unchanged validation images, None where not on record."""
    found = [accuracy for r in configuration.judged if (accuracy := r.accuracy) is not None]
    return fmean(found) if found else None


def _wanted(summary: StudySummary) -> str:
    if not summary.goal.n_finalists:
        return ""
    return (
        f" The {summary.goal.n_finalists} finalists that will tell how much are not all trained "
        "yet."
    )


def _beside_baselines(accuracy: float, summary: StudySummary) -> str:
    return " and ".join(
        f"{_beside(SCORES['accuracy'].difference(accuracy, value))} {name}"
        for name, value in summary.baselines.items()
    )


def _beside(points: float) -> str:
    if abs(points) < 0.05:
        return "level with"
    return f"{abs(points):.1f} points {'above' if points > 0 else 'below'}"


def _on_intervals(best: Interval, others: list[Interval]) -> Iterator[str]:
    if best.low is None or best.high is None:
        yield (
            "With one repeat there is no interval, and how much of the order is luck cannot be "
            "told; more repeats give one."
        )
        return
    bounds = [(o.low, o.high) for o in others if o.low is not None and o.high is not None]
    n_overlap = sum(low <= best.high and high >= best.low for low, high in bounds)
    if bounds:
        yield (
            f"Of {len(bounds)} other intervals, {n_overlap} overlap with its own. Intervals that "
            "overlap tell no winner, and this page tests no difference."
        )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
