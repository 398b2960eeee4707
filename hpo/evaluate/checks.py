"""Checks of trainings: signs that a model is broken, or that its numbers mean something else.

A check is one line, however many trainings it names. What rests on an accuracy is said only where
chance would hardly give it: the binomial tail of that many images, times the number of trainings
that were looked at, is below 1 %. The line states that number.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import Final, TypeAlias

from hpo.storage.runs import Run, RunStore
from hpo.study.summary import StudySummary

Training: TypeAlias = tuple[str, int, Run]
"""The name of its configuration, "" where there is only one, the number of its repeat, its run."""

MOST: Final = 100
"""The number of configurations of a grid that are checked."""

_CHANCE: Final = 0.01
_FAR: Final = 0.05
_MOST_NAMED: Final = 6
_LEARNED: Final = 0.1
_LEAST_SPREAD: Final = 0.1


def check_study(summary: StudySummary, runs: RunStore) -> list[str]:
    """Return what is suspicious about a grid's configurations, or a search's best."""
    is_grid, n = summary.record.kind == "grid", len(summary.configurations)
    chosen = list(summary.configurations)
    if not is_grid:
        chosen = [summary.best] if summary.best else []
    elif n > MOST:
        # Each has its run files, which have to be read.
        chosen = sorted(chosen, key=summary.rank, reverse=True)[:MOST]
    trainings = [
        (c.label if is_grid else f"#{c.number}", repeat.number, run)
        for c in chosen
        for repeat in c.repeats
        if repeat.run and (run := runs.read(repeat.run))
    ]
    said = check_trainings(trainings, majority=summary.baselines.get("majority class"))
    if is_grid and n > MOST:
        said.append(f"Only the best {MOST} of {n:,} configurations were checked.")
    return said


def check_trainings(trainings: Sequence[Training], *, majority: float | None) -> list[str]:
    """Return what is suspicious about trainings, on validation alone.

    `majority` is the share of the commonest class among the validation images, where it is known.
    """
    measured = [t for t in trainings if "accuracy" in t[2].kept.validation and _n_images(t[2])]
    answers = [run.validation_probabilities for *_, run in measured]
    said = list(check_answers(measured, answers, [0.5] * len(answers), images="validation"))
    varied = [t for t in measured if not is_one_answer(t[2].validation_probabilities, 0.5)]
    best: dict[str, Run] = {}
    for name, _, run in varied:
        best[name] = max(best.get(name, run), run, key=_accuracy)
    for chance_of, text in _CHECKS if majority is not None else _CHECKS[-1:]:
        chances = [len(varied) * chance_of(run, best[n], majority or 0.0) for n, _, run in varied]
        found = [t for t, chance in zip(varied, chances, strict=True) if chance < _CHANCE]
        if found:
            accuracies = sorted(_accuracy(run) for *_, run in found)
            low, high = accuracies[0], accuracies[-1]
            highest = max(chance for chance in chances if chance < _CHANCE)
            said.append(
                text.format(
                    where=_where(found),
                    accuracies=f"{100 * low:.1f} to " * (low < high) + _percent(high),
                    majority=_percent(majority or 0.0),
                    train=_percent(fmean(run.train.get("accuracy", 0.0) for *_, run in found)),
                    chance="less than 0.1 %" if highest < 0.001 else _percent(highest),
                )
            )
    return said


def check_answers(
    trainings: Sequence[Training],
    answers: Sequence[Sequence[float]],
    thresholds: Sequence[float],
    *,
    images: str,
) -> Iterator[str]:
    """Say in which trainings every image gets the same class, which is not by chance."""
    rows = zip(trainings, answers, thresholds, strict=True)
    found = [(training, ps, at) for training, ps, at in rows if is_one_answer(ps, at)]
    if found:
        low, high = min(min(ps) for _, ps, _ in found), max(max(ps) for _, ps, _ in found)
        classes = {"pneumonia" if ps[0] > at else "normal" for _, ps, at in found}
        name = classes.pop() if len(classes) == 1 else "the same class"
        yield (
            f"Every {images} image is classified as {name} (probabilities {low:.3f} to "
            f"{high:.3f}): {_where([training for training, *_ in found])}."
        )


def is_one_answer(probabilities: Sequence[float], threshold: float) -> bool:
    """Whether every image gets the same class."""
    return len({probability > threshold for probability in probabilities}) == 1


def _at_majority(run: Run, _: Run, majority: float) -> float:
    """Look for the accuracy of always giving the commonest answer, or a lower one."""
    if _n_right(run) > majority * _n_images(run) + 0.5:
        return math.inf
    return _chance_of_at_most(_n_right(run), run, min(majority + _LEARNED, 0.99))


def _collapsed(run: Run, best: Run, majority: float) -> float:
    return math.inf if _ranks_well(run) else _behind(run, best, majority)


def _misplaced_threshold(run: Run, best: Run, majority: float) -> float:
    return _behind(run, best, majority) if _ranks_well(run) else math.inf


def _behind(run: Run, best: Run, majority: float) -> float:
    """Look for a repeat nearer to the majority class than to the best of its configuration."""
    lead, lag = _accuracy(run) - majority, _accuracy(best) - _accuracy(run)
    if _accuracy(best) - majority < _LEAST_SPREAD or lag <= lead:
        return math.inf
    # Not even the best is always right: one more answer of each kind.
    return _chance_of_at_most(_n_right(run), run, (_n_right(best) + 1) / (_n_images(best) + 2))


def _better_than_training(run: Run, _: Run, majority: float) -> float:
    """Look for validation far above training, both in evaluation mode, in what has learned."""
    train = run.train.get("accuracy", math.nan)
    if _accuracy(run) > majority and _accuracy(run) - train >= _FAR:
        return _chance_of_at_most(_n_images(run) - _n_right(run), run, 1 - train)
    return math.inf


_FAR_BEHIND: Final = (
    "{where}, with an accuracy of {accuracies}, nearer to the majority class ({majority}) than to "
    "the best repeat. Networks like the best would differ this much by chance in {chance} of such "
    "studies."
)
_CHECKS: Final[tuple[tuple[Callable[[Run, Run, float], float], str], ...]] = (
    (
        _at_majority,
        "The validation accuracy ({accuracies}) is no better than always answering the commonest "
        "class ({majority}): {where}. A network 10 points better would score this low by chance "
        "in {chance} of such studies.",
    ),
    (_collapsed, "Training collapsed: " + _FAR_BEHIND),
    (
        _misplaced_threshold,
        "The threshold of 0.5 does not fit, although the AUROC is above 0.8: " + _FAR_BEHIND,
    ),
    (
        _better_than_training,
        "Validation ({accuracies}) is far better than training (mean {train}, without dropout): "
        "{where}. The validation images are easier, or copies of them are trained on (`hpo data "
        "audit`); by chance that happens in {chance} of such studies.",
    ),
)
"""What gives a run the chance of looking so bad, infinite where it does not; what to say then."""


def _accuracy(run: Run) -> float:
    return run.kept.validation["accuracy"]


def _n_images(run: Run) -> int:
    return len(run.validation_probabilities)


def _n_right(run: Run) -> float:
    return _accuracy(run) * _n_images(run)


def _ranks_well(run: Run) -> bool:
    return run.kept.validation.get("auroc", 0.0) >= 0.8


def _chance_of_at_most(n_right: float, run: Run, share: float) -> float:
    """Return the chance of so few right answers, where each is right with this chance."""
    from scipy.special import bdtr  # `hpo --help` does without.

    return float(bdtr(round(n_right), _n_images(run), min(max(share, 0.0), 1.0)))


def _where(found: Sequence[Training]) -> str:
    """Write `batch_size 32 (repeats 1 and 3), batch_size 64 (repeat 2)`."""
    texts = []
    for name in dict.fromkeys(name for name, *_ in found):
        *others, last = [str(number) for of, number, _ in found if of == name]
        repeats = f"repeats {', '.join(others)} and {last}" if others else f"repeat {last}"
        texts.append(f"{name} ({repeats})" if name else repeats)
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more configurations" * (more > 0))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
