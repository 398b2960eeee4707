"""Checks of trainings: signs that a model is broken, or that its numbers are misleading.

A check returns one line for all trainings that it names. Findings based on an accuracy are shown
only if they are unlikely by chance: the binomial tail of that many images, times the number of
trainings checked, is below 1 %. The line contains that number.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Final, TypeAlias

import numpy as np

from hpo.evaluate.learning_curves import fluctuation
from hpo.stats.intervals import Floats
from hpo.stats.sentences import margin_text
from hpo.storage.runs import RunStore
from hpo.study.summary import StudySummary
from hpo.training.engine import Run, predicted

Training: TypeAlias = tuple[str, int, Run]
"""The name of the configuration ("" if it is the only one), the repeat's number, and the run."""

MOST: Final = 100
"""At most this many configurations of a grid are checked, because run files must be read."""

_CHANCE: Final = 0.01
_FAR: Final = 0.05
_MOST_NAMED: Final = 6
_LEARNED: Final = 0.1
_LEAST_SPREAD: Final = 0.1
_NEAR_CHANCE: Final = 0.1
_CONSTANT: Final = 0.005

_FAR_BEHIND: Final = (
    "{where}, with an accuracy of {accuracies}, nearer to the majority class ({majority}) than to "
    "the best repeat. Networks like the best would differ this much by chance in {chance} of such "
    "studies."
)
_CHECKS: Final = {
    "majority": "The validation accuracy ({accuracies}) is no better than always answering the "
    "most common class ({majority}): {where}. A network 10 points better would score this low by "
    "chance in {chance} of such studies. Lower learning_rate, or train longer with --epochs",
    "collapsed": "Training collapsed: " + _FAR_BEHIND + " Lower learning_rate",
    "threshold": "The threshold of 0.5 does not fit, although the AUROC is above 0.8: "
    + _FAR_BEHIND
    + " Compare by --metric auroc, and evaluate with --threshold youden",
    "too good": "Validation ({accuracies}) is far better than training (mean {train}, without "
    "dropout): {where}. The validation images are easier, or copies of them are in training; by "
    "chance this happens in {chance} of such studies. Check with `hpo data audit`",
}
"""The text of each check in `_signs`, with advice."""

_SEE: Final = " (docs/checks.md#{})."


def check_study(summary: StudySummary, runs: RunStore) -> list[str]:
    """Return the findings on a grid's configurations, or on a search's best."""
    n = len(summary.configurations)
    if is_grid := summary.record.kind == "grid":
        chosen = list(summary.configurations)
        if n > MOST:
            chosen = sorted(chosen, key=summary.rank, reverse=True)[:MOST]
    else:
        chosen = [summary.best] if summary.best else []
    trainings = [
        (c.label if is_grid else c.tag, repeat.number, run)
        for c in chosen
        for repeat in c.repeats
        if (run := runs.read(repeat.run))
    ]
    names, majority = summary.record.data.class_names, summary.baselines.get("majority class", {})
    said = check_trainings(trainings, names, majority=majority.get("accuracy"))
    said += _check_spread(summary, [run for *_, run in trainings])
    if is_grid and n > MOST:
        said.append(f"Only the best {MOST} of {n:,} configurations were checked.")
    return said


def _check_spread(summary: StudySummary, runs: Sequence[Run]) -> Iterator[str]:
    """Explain why the scores of an undecided grid vary, if there is a remedy."""
    pairs = summary.verdict.pairs if summary.verdict else ()
    if not any(pair.answer == "undecided" for pair in pairs):
        return
    kind, n = summary.record.score.kind, summary.record.data.n_validation
    if kind.is_share and n * (kind.margin or 1.0) < 1:
        yield (
            f"One of the {n} validation images is worth {100 / n:.1f} points, more than the "
            f"{margin_text(kind)} that matters. Only more images make small differences visible"
            + _SEE.format("few-images")
        )
    base = summary.record.space.base
    curves = ([epoch.validation.get("accuracy", 0.0) for epoch in run.epochs] for run in runs)
    jumps = [jump for curve in curves if (jump := fluctuation(curve)) is not None]
    is_plain = base.weights == "last" and base.scheduler == "none"
    if is_plain and jumps and fmean(jumps) > (kind.margin or 0.0):
        yield (
            f"Accuracy still changes by {100 * fmean(jumps):.1f} points from epoch to epoch. Add "
            "--set weights=average or --set scheduler=cosine: scores vary far less then"
            + _SEE.format("unsteady")
        )


def check_trainings(
    trainings: Sequence[Training], class_names: Sequence[str], *, majority: float | None
) -> list[str]:
    """Return the findings on trainings, from validation alone.

    `majority` is the share of the most common class among the validation images, if known.
    """
    measured = [
        (name, number, run)
        for name, number, run in trainings
        if "accuracy" in run.kept.validation and run.validation_probabilities
    ]
    answers = [np.array(run.validation_probabilities) for *_, run in measured]
    thresholds = [0.5] * len(answers)
    said = check_answers(measured, class_names, answers, thresholds, images="validation")
    pairs = zip(measured, answers, strict=True)
    varied = [training for training, found in pairs if not is_one_answer(found, 0.5)]
    best: dict[str, Run] = {}
    for name, _, run in varied:
        best[name] = max(best.get(name, run), run, key=_accuracy)
    found: dict[str, list[tuple[Training, float]]] = {check: [] for check in _CHECKS}
    for training in varied:
        for check, chance in _signs(training[2], best[training[0]], majority):
            if len(varied) * chance < _CHANCE:
                found[check].append((training, len(varied) * chance))
    for check, of_one in found.items():
        if of_one:
            runs = [run for (*_, run), _ in of_one]
            low, high = min(map(_accuracy, runs)), max(map(_accuracy, runs))
            highest = max(chance for _, chance in of_one)
            said.append(
                (_CHECKS[check] + _SEE.format(check.replace(" ", "-"))).format(
                    where=_where([training for training, _ in of_one]),
                    accuracies=f"{100 * low:.1f} to " * (low < high) + _percent(high),
                    majority=_percent(majority or 0.0),
                    train=_percent(fmean(run.train.get("accuracy", 0.0) for run in runs)),
                    chance="less than 0.1 %" if highest < 0.001 else _percent(highest),
                )
            )
    return said


def check_answers(
    trainings: Sequence[Training],
    class_names: Sequence[str],
    answers: Sequence[Floats],
    thresholds: Sequence[float],
    *,
    images: str,
) -> list[str]:
    """Return a finding on the trainings that predict the same class for every image."""
    rows = zip(trainings, answers, thresholds, strict=True)
    found = [(training, ps, at) for training, ps, at in rows if is_one_answer(ps, at)]
    if not found:
        return []
    # With more than two classes, the probabilities of the predicted class.
    shown = np.concatenate([ps if ps.ndim == 1 else ps.max(1) for _, ps, _ in found])
    classes = {class_names[predicted(ps, at)[0]] for _, ps, at in found}
    name = classes.pop() if len(classes) == 1 else "the same class"
    where = _where([training for training, *_ in found])
    remedy = "Lower learning_rate, or scale the input with --set normalize=unit"
    # Probabilities that do not depend on the image are those of a network that has diverged.
    is_near_chance = np.abs(shown - 1 / len(class_names)).max() < _NEAR_CHANCE
    if is_near_chance and np.ptp(shown) > _CONSTANT:
        remedy = "They have hardly learned yet: train longer, or raise learning_rate"
    return [
        f"Every {images} image is classified as {name} (probabilities {shown.min():.3f} to "
        f"{shown.max():.3f}): {where}. {remedy}{_SEE.format('one-class')}"
    ]


def is_one_answer(probabilities: Floats, threshold: float) -> bool:
    """Whether the same class is predicted for every image."""
    return len(np.unique(predicted(probabilities, threshold))) == 1


def _signs(run: Run, best: Run, majority: float | None) -> Iterator[tuple[str, float]]:
    """Yield each check that a run fails, and the probability of a result as bad by chance.

    `best` is the best repeat of its configuration.
    """
    from scipy.special import bdtr  # `hpo --help` does not need it.

    accuracy, n = _accuracy(run), len(run.validation_probabilities)
    n_right, train = accuracy * n, run.train.get("accuracy", math.nan)

    def at_most(n_hits: float, share: float) -> float:
        """Return the probability of at most this many hits, each with this probability."""
        return float(bdtr(round(n_hits), n, min(max(share, 0.0), 1.0)))

    if majority is not None:
        # The accuracy of always predicting the most common class, or less.
        if n_right <= majority * n + 0.5:
            yield "majority", at_most(n_right, min(majority + _LEARNED, 0.99))
        # A repeat closer to the majority class than to the best repeat of its configuration.
        spread, lag = _accuracy(best) - majority, _accuracy(best) - accuracy
        if spread >= _LEAST_SPREAD and lag > accuracy - majority:
            n_of_best = len(best.validation_probabilities)
            # Even the best is not always right: add one correct and one wrong answer.
            share = (_accuracy(best) * n_of_best + 1) / (n_of_best + 2)
            is_of_two = isinstance(run.validation_probabilities[0], float)
            ranks_well = is_of_two and run.kept.validation.get("auroc", 0.0) >= 0.8
            yield "threshold" if ranks_well else "collapsed", at_most(n_right, share)
    # Validation far above training, both in evaluation mode, in a network that has learned.
    if accuracy > (majority or 0.0) and accuracy - train >= _FAR:
        yield "too good", at_most(n - n_right, 1 - train)


def _accuracy(run: Run) -> float:
    return run.kept.validation["accuracy"]


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
