"""Every number of a training, in the order it came about.

A number is known by its epoch and its name; epoch `AFTER` is after the last. What the trial holds
has names of its own: it is on record a second time, and either record may be the wrong one.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from optuna.trial import FrozenTrial, TrialState

from hpo.run.recording import epoch_score
from hpo.storage.runs import Epoch, Run
from hpo.study.score import Score

AFTER: Final = sys.maxsize

Key: TypeAlias = tuple[int, str]
Numbers: TypeAlias = dict[Key, float]

# what follows from the configuration or counts epochs: no rounding in these
EXACT: Final = ("learning rate", "kept epoch")


def of_epoch(number: int, epoch: Epoch, score: Score) -> Numbers:
    """Return the numbers of one epoch, and what its trial was told as score if it was."""
    numbers = dict(
        [
            ((number, "learning rate"), epoch.learning_rate),
            *_named(number, "training", epoch.train),
            *_named(number, "validation", epoch.validation),
            *_named(number, "mean stress", epoch.stress),
        ]
    )
    reported = epoch_score(score, epoch)
    return numbers if reported is None else numbers | {(number, "reported score"): reported}


def of_end(run: Run, score: Score) -> Numbers:
    """Return the numbers of the kept weights; the test probabilities need no label."""
    value = score.of(run.kept.validation, run.stress)
    found = {} if value is None else {(AFTER, "score"): value}
    stress = (
        named
        for change, metrics in run.stress.items()
        for named in _named(AFTER, f"{change} validation", metrics)
    )
    return found | dict(
        [
            ((AFTER, "kept epoch"), float(run.kept_epoch)),
            *_named(AFTER, "kept training", run.train),
            *_named(AFTER, "kept validation", run.kept.validation),
            *_probabilities("validation", run.validation_probabilities),
            *_probabilities("test", run.test_probabilities),
            *_named(AFTER, "trial's training", run.train),
            *_named(AFTER, "trial's validation", run.kept.validation),
            *stress,
        ]
    )


def of_run(run: Run, score: Score) -> Numbers:
    """Return every number of a run file."""
    numbers: Numbers = {}
    for number, epoch in enumerate(run.epochs, start=1):
        numbers |= of_epoch(number, epoch, score)
    return numbers | of_end(run, score)


def of_trial(trial: FrozenTrial) -> Numbers:
    """Return the numbers that the trial itself holds."""
    numbers: Numbers = {
        (epoch, "reported score"): score for epoch, score in trial.intermediate_values.items()
    }
    metrics = trial.user_attrs.get("metrics", {})
    for split, name in (("train", "trial's training"), ("validation", "trial's validation")):
        numbers |= dict(_named(AFTER, name, metrics.get(split, {})))
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        numbers[AFTER, "score"] = trial.value
    return numbers


def _named(number: int, prefix: str, values: Mapping[str, float]) -> Iterator[tuple[Key, float]]:
    for name, value in values.items():
        yield (number, f"{prefix} {name.replace('_', ' ')}"), value


def _probabilities(split: str, values: tuple[float, ...]) -> Iterator[tuple[Key, float]]:
    for position, value in enumerate(values, start=1):
        yield (AFTER, f"{split} probability {position}"), value
