"""Signs that a model is broken, or that its numbers do not mean what they seem to.

Each function takes what the repeats of one configuration left behind and returns sentences; none
where all is well. Repeats are counted from 1, as progress does.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hpo.runs import Run, RunStore
from hpo.summary import Configuration, StudySummary

FAR: Final = 0.05
"""Validation is far better than training from 5 points on."""

MOST: Final = 100
"""In so many configurations of a grid signs are looked for."""

_ALIKE: Final = 0.02
_LEAST_SPREAD: Final = 0.1
_RANKS_WELL: Final = 0.8
_SIGMOID_OF_ONE: Final = 0.7311
_ROUNDING: Final = 1e-4


@dataclass(frozen=True)
class _Answers:
    low: float
    high: float
    threshold: float

    @property
    def is_all_ill(self) -> bool:
        return self.low > self.threshold

    @property
    def is_all_normal(self) -> bool:
        return self.high <= self.threshold


def study_signs(summary: StudySummary, runs: RunStore) -> tuple[str, ...]:
    """Return the signs of a grid's configurations, or of a search's best, each with its name."""
    majority = summary.baselines.get("majority class")
    return tuple(
        f"{configuration.label}: {sign}"
        for configuration in _looked_at(summary)
        for sign in configuration_signs(_runs_of(configuration, runs), majority=majority)
    )


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


def _runs_of(configuration: Configuration, runs: RunStore) -> dict[int, Run]:
    read = {r.repeat: runs.read(r.run) for r in configuration.repeats if r.run}
    return {repeat: run for repeat, run in read.items() if run is not None}


def configuration_signs(runs: Mapping[int, Run], *, majority: float | None) -> tuple[str, ...]:
    """Return what is suspicious about the trainings of a configuration, on validation alone.

    `runs` by repeat; `majority` is the share of the commonest class among the validation images,
    where it is known.
    """
    probabilities = {i: run.validation_probabilities for i, run in runs.items()}
    found = [*one_sided(probabilities, images="validation")]
    if majority is not None:
        found += [*no_better_than_majority(runs, majority), *collapsed(runs, majority)]
    return (*found, *better_than_training(runs, least=majority or 0.0))


def one_sided(
    probabilities: Mapping[int, Sequence[float]],
    *,
    images: str,
    thresholds: Mapping[int, float] | None = None,
) -> Iterator[str]:
    """Say where all answers are one class, or all probabilities in one half of 0 to 1."""
    answers = {
        i: _Answers(min(p), max(p), 0.5 if thresholds is None else thresholds[i])
        for i, p in probabilities.items()
        if len(p)
    }
    n = len(answers)
    upper = {i: a for i, a in answers.items() if a.low >= 0.5}
    lower = {i: a for i, a in answers.items() if a.high <= 0.5 and i not in upper}
    for half, found in (("upper", upper), ("lower", lower)):
        if found:
            low, high = min(a.low for a in found.values()), max(a.high for a in found.values())
            yield (
                f"In {_repeats(found, n)} no probability on {images} images leaves the {half} "
                f"half: {low:.3f} to {high:.3f}.{_twice(low, high)}"
            )
    for is_ill, answer in ((True, "pneumonia"), (False, "normal")):
        called = [i for i, a in answers.items() if (a.is_all_ill if is_ill else a.is_all_normal)]
        if called:
            yield f"In {_repeats(called, n)} every {images} image is called {answer}."


def better_than_training(runs: Mapping[int, Run], *, least: float = 0.0) -> Iterator[str]:
    """Say where validation looks far better than training, and whether measuring explains it.

    Training accuracy of an epoch is measured while training, with dropout and augmentation on;
    that of the kept weights once more in evaluation mode, as validation is. Of a model whose
    validation accuracy is not above `least` nothing is said: it learned nothing.
    """
    explained, strange = {}, {}
    for repeat, run in runs.items():
        validation = run.kept.validation.get("accuracy", math.nan)
        while_training = run.kept.train.get("accuracy", math.nan)
        alike = run.train.get("accuracy", math.nan)
        far = max(FAR, _noise(validation, len(run.validation_probabilities)))
        if not validation > least:
            continue
        if validation - alike >= far:
            strange[repeat] = (validation, alike, alike)
        elif validation - while_training >= far and alike >= validation - _ALIKE:
            explained[repeat] = (validation, while_training, alike)
    if explained:
        validation, while_training, alike = _means(explained.values())
        yield (
            f"In {_repeats(explained, len(runs))} validation ({_percent(validation)}) looks far "
            f"better than training ({_percent(while_training)}) only because training is measured "
            f"with dropout and augmentation on; measured alike, training is {_percent(alike)}."
        )
    if strange:
        validation, alike, _ = _means(strange.values())
        yield (
            f"In {_repeats(strange, len(runs))} validation ({_percent(validation)}) is far better "
            f"than training ({_percent(alike)}) even measured alike: the validation images are "
            "easier, or copies of them are trained on (`hpo data audit`)."
        )


def no_better_than_majority(runs: Mapping[int, Run], majority: float) -> Iterator[str]:
    """Say where the accuracy is that of always giving the commonest answer, or below."""
    found = [i for i, run in runs.items() if _accuracy(run) <= majority + _half_an_image(run)]
    if found:
        best = max(_accuracy(runs[i]) for i in found)
        yield (
            f"In {_repeats(found, len(runs))} the validation accuracy ({_percent(best)}) is no "
            f"better than always answering the commonest class ({_percent(majority)})."
        )


def collapsed(runs: Mapping[int, Run], majority: float) -> Iterator[str]:
    """Say which repeats are nearer to the majority class than to the best repeat.

    One that ranks well all the same has not collapsed: its threshold is off.
    """
    accuracies = {i: _accuracy(run) for i, run in runs.items()}
    best = max(accuracies.values(), default=math.nan)
    found = [i for i, one in accuracies.items() if best - one > one - majority]
    if not (found and best - majority >= _LEAST_SPREAD):
        return
    where = (
        f"nearer to the majority class ({_percent(majority)}) than to the best repeat "
        f"({_percent(best)})"
    )
    ranked = [i for i in found if _auroc(runs[i]) >= _RANKS_WELL]
    for which, text in (
        (set(found) - set(ranked), "collapsed: {where}."),
        (ranked, "is {where}, yet ranks well (AUROC {auroc:.3f}): its threshold is off."),
    ):
        for i in sorted(which):
            told = text.format(where=where, auroc=_auroc(runs[i]))
            yield f"Repeat {i + 1} of {len(runs)} ({_percent(accuracies[i])}) {told}"


def _twice(low: float, high: float) -> str:
    if low < 0.5 or high > _SIGMOID_OF_ONE + _ROUNDING:
        return ""
    return " A sigmoid applied twice does that: 0.731 is the sigmoid of 1, 0.5 that of 0."


def _accuracy(run: Run) -> float:
    return run.kept.validation.get("accuracy", math.nan)


def _auroc(run: Run) -> float:
    return run.kept.validation.get("auroc", math.nan)


def _half_an_image(run: Run) -> float:
    return 0.5 / max(1, len(run.validation_probabilities))


def _noise(share: float, n_images: int) -> float:
    """Return three standard errors of a share: what chance alone hardly reaches."""
    return 3 * math.sqrt(max(share * (1 - share), 0.0) / n_images) if n_images else math.inf


def _means(rows: Iterable[tuple[float, float, float]]) -> tuple[float, float, float]:
    a, b, c = (math.fsum(column) / len(column) for column in zip(*rows, strict=True))
    return a, b, c


def _repeats(found: Iterable[int], n: int) -> str:
    """Write `repeats 2 and 3 of 5`, `all 5 repeats`, or `the one repeat`."""
    numbers = [str(i + 1) for i in sorted(found)]
    if n == 1:
        return "the one repeat"
    if len(numbers) == n:
        return "both repeats" if n == 2 else f"all {n} repeats"
    if len(numbers) == 1:
        return f"repeat {numbers[0]} of {n}"
    return f"repeats {', '.join(numbers[:-1])} and {numbers[-1]} of {n}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
