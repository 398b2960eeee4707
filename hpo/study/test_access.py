"""The record of every opening of the sealed test, kept in the study."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import optuna

from hpo.errors import StudyError
from hpo.storage.opening import in_command

_ATTRIBUTE: Final = "openings"
"""A list of them in studies of before each opening had an attribute of its own."""

_PREFIX: Final = "opening:"
_MOST_TOLD: Final = 3


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One opening: when (UTC, ISO), by what command, with which threshold, of which trials.

    `n_complete` counts the complete trials of the study at that time, opened or not.
    """

    when: str
    command: str
    threshold: str
    trials: tuple[int, ...]
    n_complete: int


def now() -> str:
    """Return the time as it is recorded: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_openings(study: optuna.Study) -> tuple[Opening, ...]:
    """Return every opening on record, the oldest first.

    Raises:
        StudyError: the record is damaged; what it said of the test cannot be known.
    """
    attributes = study.user_attrs
    documents = [attributes[name] for name in sorted(attributes) if name.startswith(_PREFIX)]
    try:
        return tuple(map(_read, [*attributes.get(_ATTRIBUTE, []), *documents]))
    except (KeyError, TypeError, ValueError):
        raise StudyError(
            f"The record of the openings of the test in the study {study.study_name} is damaged: "
            "put an older database back, or remove the study (its trainings stay in the run "
            f"store): hpo delete {in_command(study)}"
        ) from None


def record_opening(study: optuna.Study, opening: Opening) -> None:
    """Put an opening on record; it stays there as long as the study.

    Each has an attribute of its own: of two that are made at once none is lost.
    """
    n_before = sum(name.startswith(_PREFIX) for name in study.user_attrs)
    study.set_user_attr(f"{_PREFIX}{n_before:06}:{uuid4().hex}", asdict(opening))


def to_documents(openings: Iterable[Opening]) -> list[dict[str, Any]]:
    """Return openings as plain data for JSON."""
    return [asdict(opening) | {"trials": list(opening.trials)} for opening in openings]


def statements(openings: Sequence[Opening], *, n_complete: int) -> list[str]:
    """Say each opening in a sentence, and how many trials have come after it.

    Those of the same trials at the same threshold are one, told by the last. Of more than three,
    the first and the last two are told in full.
    """
    alike: dict[object, list[Opening]] = {}
    for opening in openings:
        key = (opening.threshold, opening.trials, opening.n_complete)
        alike.setdefault(key, []).append(opening)
    told = [
        _statement(same[-1], max(0, n_complete - same[-1].n_complete), n_times=len(same))
        for same in alike.values()
    ]
    n_hidden = len(told) - _MOST_TOLD
    if n_hidden > 0:
        others = "one more opening" if n_hidden == 1 else f"{n_hidden} more openings"
        told = [told[0], f"({others}.)", *told[-_MOST_TOLD + 1 :]]
    return told


def _read(document: Any) -> Opening:
    opening = Opening(**(document | {"trials": tuple(document["trials"])}))
    datetime.fromisoformat(opening.when)
    texts, numbers = (opening.command, opening.threshold), (*opening.trials, opening.n_complete)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text is none")
    if not all(type(number) is int for number in numbers):
        raise ValueError("a number is none")
    return opening


def _statement(opening: Opening, n_after: int, *, n_times: int) -> str:
    trials = _count(len(opening.trials), "trial")
    often = f"{n_times} times, last " if n_times > 1 else ""
    text = (
        f"The test was opened {often}on {opening.when[:16].replace('T', ' ')} UTC by "
        f"`{opening.command}`: {trials}, threshold {opening.threshold}."
    )
    if n_after:
        text += (
            f" {_count(n_after, 'trial')} came after it: what was tried or chosen since then may "
            "owe something to the test."
        )
    return text


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
