"""The log of every opening of the sealed test, stored in the study."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final
from uuid import uuid4

import optuna
from pydantic import ConfigDict, TypeAdapter

from hpo.errors import StudyError
from hpo.storage.opening import attributes_of, in_command
from hpo.tables import count

_ATTRIBUTE: Final = "openings"
"""The list of openings in older studies; now each opening has its own attribute."""

_PREFIX: Final = "opening:"


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One opening: when (UTC, ISO), the command, the threshold and the trials.

    `n_complete` counts the complete trials of the study at that time. `data` names another data
    set, which was opened instead of the study's own test.
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
    """Return the current time as recorded: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_openings(study: optuna.Study) -> tuple[Opening, ...]:
    """Return every recorded opening, oldest first.

    Raises:
        StudyError: the record is damaged.
    """
    attributes = attributes_of(study)
    documents = [attributes[name] for name in sorted(attributes) if name.startswith(_PREFIX)]
    try:
        text = json.dumps([*attributes.get(_ATTRIBUTE, []), *documents])
        openings = _OPENINGS.validate_json(text, strict=True)
        for opening in openings:
            datetime.fromisoformat(opening.when)
    except (TypeError, ValueError):
        raise StudyError(
            f"The record of the openings of the test in the study {study.study_name} is damaged. "
            "Restore an older database, or remove the study (its results stay in the run store): "
            f"hpo delete {in_command(study)}"
        ) from None
    return openings


def record_opening(study: optuna.Study, opening: Opening) -> None:
    """Record an opening for as long as the study exists.

    Each has its own attribute, so that two simultaneous openings are both recorded.
    """
    n_before = sum(name.startswith(_PREFIX) for name in attributes_of(study))
    study.set_user_attr(f"{_PREFIX}{n_before:06}:{uuid4().hex}", asdict(opening))


def statements(openings: Sequence[Opening], *, n_complete: int) -> list[str]:
    """Describe each opening in a sentence, with the number of trials added afterwards.

    Equal ones are combined. Of more than three, the first and the last two are shown.
    """
    alike: dict[object, list[Opening]] = {}
    for opening in openings:
        key = (opening.threshold, opening.trials, opening.n_complete, opening.data)
        alike.setdefault(key, []).append(opening)
    shown = []
    for group in alike.values():
        last, n_after = group[-1], n_complete - group[-1].n_complete
        often = f"{len(group)} times, last " if len(group) > 1 else ""
        what = f"Another data set, {last.data}, was tested" if last.data else "The test was opened"
        sentence = (
            f"{what} {often}on {last.when[:16].replace('T', ' ')} UTC by `{last.command}`: "
            f"{count(len(last.trials), 'trial')}, threshold {last.threshold}."
        )
        if n_after > 0:
            sentence += (
                f" {count(n_after, 'trial')} came after it, so later choices may be influenced by "
                "the test."
            )
        shown.append(sentence)
    if (n_hidden := len(shown) - 3) > 0:
        shown[1:-2] = [f"({n_hidden} more opening{'s' * (n_hidden > 1)}.)"]
    return shown
