"""The log of every opening of the sealed test, kept in the study."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final
from uuid import uuid4

import optuna
from pydantic import ConfigDict, TypeAdapter

from hpo.errors import StudyError
from hpo.storage.opening import in_command

_ATTRIBUTE: Final = "openings"
"""A list of them, in studies of before each opening had its own attribute."""

_PREFIX: Final = "opening:"
_MOST_SHOWN: Final = 3


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One opening: when (UTC, ISO), by what command, with which threshold, of which trials.

    `n_complete` counts the complete trials of the study at that time, opened or not. `data` names
    another data set, which was opened in the place of the study's own test.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    when: str
    command: str
    threshold: str
    trials: tuple[int, ...]
    n_complete: int
    data: str = ""


_OPENINGS: Final = TypeAdapter(tuple[Opening, ...])


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
        every = json.dumps([*attributes.get(_ATTRIBUTE, []), *documents])
        openings = _OPENINGS.validate_json(every, strict=True)
        for opening in openings:
            datetime.fromisoformat(opening.when)
    except (TypeError, ValueError):
        raise StudyError(
            f"The record of the openings of the test in the study {study.study_name} is damaged: "
            "restore an older database, or remove the study (its trainings stay in the run "
            f"store): hpo delete {in_command(study)}"
        ) from None
    return openings


def record_opening(study: optuna.Study, opening: Opening) -> None:
    """Put an opening on record; it stays there as long as the study.

    Each has its own attribute: of two that are made at once none is lost.
    """
    n_before = sum(name.startswith(_PREFIX) for name in study.user_attrs)
    study.set_user_attr(f"{_PREFIX}{n_before:06}:{uuid4().hex}", asdict(opening))


def statements(openings: Sequence[Opening], *, n_complete: int) -> list[str]:
    """Say each opening in a sentence, and how many trials have come after it.

    Openings of the same trials at the same threshold are one, with the last date. Of more than
    three, the first and the last two are shown.
    """
    alike: dict[object, list[Opening]] = {}
    for opening in openings:
        key = (opening.threshold, opening.trials, opening.n_complete, opening.data)
        alike.setdefault(key, []).append(opening)
    shown = [_statement(same, max(0, n_complete - same[-1].n_complete)) for same in alike.values()]
    n_hidden = len(shown) - _MOST_SHOWN
    if n_hidden > 0:
        others = "one more opening" if n_hidden == 1 else f"{n_hidden} more openings"
        shown = [shown[0], f"({others}.)", *shown[-_MOST_SHOWN + 1 :]]
    return shown


def _statement(same: Sequence[Opening], n_after: int) -> str:
    last, n = same[-1], len(same[-1].trials)
    often = f"{len(same)} times, last " if len(same) > 1 else ""
    opened = f"Another data set, {last.data}, was tested" if last.data else "The test was opened"
    text = (
        f"{opened} {often}on {last.when[:16].replace('T', ' ')} UTC by "
        f"`{last.command}`: {n} {'trial' if n == 1 else 'trials'}, threshold {last.threshold}."
    )
    if n_after:
        text += (
            f" {n_after} {'trial' if n_after == 1 else 'trials'} came after it: what was tried or "
            "chosen since then may be influenced by the test."
        )
    return text
