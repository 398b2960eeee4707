"""Checks of trainings: signs that a model is broken, or that its numbers mean something else.

A check is one line, however many trainings it names. What rests on an accuracy is said only where
chance would hardly give it: the binomial tail of that many images, times the number of trainings
that were looked at, is below `CHANCE`. The line states that number.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hpo.storage.runs import Run, RunStore
from hpo.study.summary import Configuration, StudySummary

CHANCE: Final = 0.01
"""From this chance of being wrong on, a check says nothing."""

FAR: Final = 0.05
"""Validation is far better than training from 5 points on."""

MOST: Final = 100
"""In so many configurations of a grid signs are looked for."""

_MOST_NAMED: Final = 6
_LEARNED: Final = 0.1
_LEAST_SPREAD: Final = 0.1
_RANKS_WELL: Final = 0.8


@dataclass(frozen=True, eq=False)
class Training:
    """A training that is looked at: its configuration, "" where there is one, and its repeat."""

    configuration: str
    repeat: int
    run: Run

    @property
    def accuracy(self) -> float:
        """The validation accuracy of the kept weights."""
        return self.run.kept.validation["accuracy"]

    @property
    def n_images(self) -> int:
        """The number of validation images."""
        return len(self.run.validation_probabilities)

    @property
    def n_right(self) -> float:
        """The number of right answers."""
        return self.accuracy * self.n_images


def study_signs(summary: StudySummary, runs: RunStore) -> tuple[str, ...]:
    """Return the signs of a grid's configurations, or of a search's best, a line per check."""
    is_grid = summary.record.kind == "grid"
    trainings = [
        Training(c.label if is_grid else f"#{c.number}", repeat.number, run)
        for c in _looked_at(summary)
        for repeat in c.repeats
        if repeat.run and (run := runs.read(repeat.run))
    ]
    return tuple(signs(trainings, majority=summary.baselines.get("majority class")))


def scope(summary: StudySummary) -> str:
    """Say in how many configurations of a very large grid signs are looked for; "": in all."""
    n = len(summary.configurations)
    if summary.record.kind != "grid" or n <= MOST:
        return ""
    return f"Only the best {MOST} of {n:,} configurations were looked at for signs of trouble."


def _looked_at(summary: StudySummary) -> Sequence[Configuration]:
    if summary.record.kind == "search":
        return [summary.best] if summary.best else []
    if len(summary.configurations) <= MOST:
        return summary.configurations
    # Each has its run files, which have to be read.
    return sorted(summary.configurations, key=summary.rank, reverse=True)[:MOST]


def signs(trainings: Sequence[Training], *, majority: float | None) -> Iterator[str]:
    """Say what is suspicious about trainings, on validation alone.

    `majority` is the share of the commonest class among the validation images, where it is known.
    """
    measured = [t for t in trainings if "accuracy" in t.run.kept.validation and t.n_images]
    answers = {t: t.run.validation_probabilities for t in measured}
    yield from one_answer(answers, images="validation")
    varied = [t for t in measured if not is_one_answer(answers[t], 0.5)]
    if majority is not None:
        yield from _no_better_than_majority(varied, majority)
        yield from _collapsed(varied, majority)
    yield from _better_than_training(varied, least=majority or 0.0)


def is_one_answer(probabilities: Sequence[float], threshold: float) -> bool:
    """Whether every image is called the same class."""
    return len({probability > threshold for probability in probabilities}) == 1


def one_answer(
    answers: Mapping[Training, Sequence[float]],
    *,
    images: str,
    thresholds: Mapping[Training, float] | None = None,
) -> Iterator[str]:
    """Say in which trainings every image is called the same class; that is no matter of chance."""
    at = dict.fromkeys(answers, 0.5) if thresholds is None else thresholds
    found = [t for t, told in answers.items() if is_one_answer(told, at[t])]
    if found:
        low, high = min(min(answers[t]) for t in found), max(max(answers[t]) for t in found)
        classes = {"pneumonia" if answers[t][0] > at[t] else "normal" for t in found}
        called = classes.pop() if len(classes) == 1 else "the same class"
        yield (
            f"Every {images} image is called {called} (probabilities {low:.3f} to {high:.3f}): "
            f"{_where(found)}."
        )


def _no_better_than_majority(trainings: Sequence[Training], majority: float) -> Iterator[str]:
    """Say where the accuracy is that of always giving the commonest answer, or below."""
    better = min(majority + _LEARNED, 0.99)
    chances = {
        t: _chance_of_at_most(t.n_right, t.n_images, better) * len(trainings)
        for t in trainings
        if t.n_right <= majority * t.n_images + 0.5
    }
    if found := _surely(chances):
        yield (
            f"The validation accuracy ({_accuracies(found)}) is no better than always answering "
            f"the commonest class ({_percent(majority)}): {_where(found)}. A network "
            f"{100 * _LEARNED:.0f} points better would score so low by chance in "
            f"{_chance(chances, found)} of such studies."
        )


def _collapsed(trainings: Sequence[Training], majority: float) -> Iterator[str]:
    """Say which repeats are nearer to the majority class than to the best of their configuration.

    One that ranks well all the same has not collapsed: its threshold is off.
    """
    chances = {}
    for name in dict.fromkeys(t.configuration for t in trainings):
        repeats = [t for t in trainings if t.configuration == name]
        best = max(repeats, key=lambda t: t.accuracy)
        if best.accuracy - majority < _LEAST_SPREAD:
            continue
        # Not even the best is right for ever: one more answer of each kind.
        share = (best.n_right + 1) / (best.n_images + 2)
        for t in repeats:
            if best.accuracy - t.accuracy > t.accuracy - majority:
                chance = _chance_of_at_most(t.n_right, t.n_images, share)
                chances[t] = chance * len(trainings)
    found = _surely(chances)
    ranked = [t for t in found if t.run.kept.validation.get("auroc", 0.0) >= _RANKS_WELL]
    collapsed = [t for t in found if t not in ranked]
    for which, text in (
        (collapsed, "Training collapsed"),
        (ranked, f"The threshold of 0.5 does not fit, although the AUROC is above {_RANKS_WELL}"),
    ):
        if which:
            yield (
                f"{text}: {_where(which)}, with an accuracy of {_accuracies(which)}, nearer to "
                f"the majority class ({_percent(majority)}) than to the best repeat. Networks "
                f"like the best would differ so by chance in {_chance(chances, which)} of such "
                "studies."
            )


def _better_than_training(trainings: Sequence[Training], *, least: float) -> Iterator[str]:
    """Say where validation is far better than training, both measured in evaluation mode.

    Of a model whose validation accuracy is not above `least` nothing is said: it learned nothing.
    """
    chances = {}
    for t in trainings:
        alike = t.run.train.get("accuracy", math.nan)
        if t.accuracy > least and t.accuracy - alike >= FAR:
            chance = _chance_of_at_most(t.n_images - t.n_right, t.n_images, 1 - alike)
            chances[t] = chance * len(trainings)
    if found := _surely(chances):
        alike = math.fsum(t.run.train["accuracy"] for t in found) / len(found)
        yield (
            f"Validation ({_accuracies(found)}) is far better than training (mean "
            f"{_percent(alike)}, without dropout): {_where(found)}. The validation images are "
            "easier, or copies of them are trained on (`hpo data audit`); by chance that happens "
            f"in {_chance(chances, found)} of such studies."
        )


def _chance_of_at_most(n_right: float, n_images: int, share: float) -> float:
    """Return the chance of so few right answers, where each is right with this chance."""
    # Imported here: `hpo --help` does without.
    from scipy.special import bdtr

    return float(bdtr(round(n_right), n_images, min(max(share, 0.0), 1.0)))


def _surely(chances: Mapping[Training, float]) -> list[Training]:
    return [training for training, chance in chances.items() if chance < CHANCE]


def _chance(chances: Mapping[Training, float], found: Iterable[Training]) -> str:
    highest = max(chances[training] for training in found)
    return "less than 0.1 %" if highest < 0.001 else f"{100 * highest:.1f} %"


def _where(found: Sequence[Training]) -> str:
    """Write `batch_size 32 (repeats 1 and 3), batch_size 64 (repeat 2)`."""
    texts = []
    for name in dict.fromkeys(t.configuration for t in found):
        *others, last = [str(t.repeat) for t in found if t.configuration == name]
        repeats = f"repeats {', '.join(others)} and {last}" if others else f"repeat {last}"
        texts.append(f"{name} ({repeats})" if name else repeats)
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more configurations" * (more > 0))


def _accuracies(found: Sequence[Training]) -> str:
    low, high = min(t.accuracy for t in found), max(t.accuracy for t in found)
    return _percent(low) if low == high else f"{100 * low:.1f} to {_percent(high)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
