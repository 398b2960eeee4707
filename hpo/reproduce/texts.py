"""What came out of training again, in words and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from hpo.reproduce.judging import TOLERANCE, Difference, Judgment, Reproduction


def sentences(found: Reproduction) -> Iterator[str]:
    """Say what came out: the answer first, then what it rests on."""
    judgment = found.judgment
    yield f"{found.name} of {found.study}: {_answer(judgment)}"
    if found.score is not None:
        yield _score(found)
    if found.score is None:
        yield f"It was pruned in epoch {found.n_epochs}: the scores it had reported were compared."
    elif not found.has_run:
        yield (
            "Its run file is gone: the score of each epoch and the metrics of the kept weights, "
            "which the trial holds too, were compared."
        )
    if found.changes:
        yield f"Not as it was: {'; '.join(found.changes)}."
    if judgment.result == "different":
        yield _why(found)
    elif judgment.result == "equal_within_rounding" and not found.changes:
        yield "Nothing on record says why."


def to_document(found: Reproduction) -> dict[str, Any]:
    """Return what `hpo reproduce --json` prints."""
    judgment = found.judgment
    return {
        "result": judgment.result,
        "study": found.study,
        "trial": found.trial,
        "n_epochs": found.n_epochs,
        "n_numbers": judgment.n_numbers,
        "n_equal": judgment.n_equal,
        "tolerance": TOLERANCE,
        "first": _document(judgment.first),
        "begins": _document(judgment.begins),
        "largest": _document(judgment.largest),
        "score": {
            "name": found.metric.name,
            "recorded": found.score,
            "now": found.score_now,
        },
        "has_run": found.has_run,
        "changes": list(found.changes),
        "seconds": found.seconds,
        "sentences": list(sentences(found)),
    }


def _answer(judgment: Judgment) -> str:
    n, n_equal = judgment.n_numbers, judgment.n_equal
    if judgment.begins is not None:
        return (
            f"different, from {_place(judgment.begins)} on: {_values(judgment.begins)}. "
            f"{n_equal:,} of {n:,} recorded numbers are the same; up to {TOLERANCE:g} apart "
            "counts as rounding."
        )
    if judgment.largest is not None:
        return (
            f"equal within rounding. {n_equal:,} of {n:,} recorded numbers are the same; the "
            f"largest difference is {judgment.largest.size:.2g}, in {_place(judgment.largest)} "
            f"({_values(judgment.largest)}); up to {TOLERANCE:g} apart counts as rounding."
        )
    return f"equal. All {n:,} recorded numbers are the same, to the last bit."


def _place(difference: Difference) -> str:
    if difference.epoch is None:
        return f"the {difference.metric} after the last epoch"
    return f"the {difference.metric} of epoch {difference.epoch}"


def _values(difference: Difference) -> str:
    now = "none" if difference.now is None else f"{difference.now:.6g}"
    return f"{difference.recorded:.6g} recorded, {now} now"


def _score(found: Reproduction) -> str:
    recorded, now = found.score, found.score_now
    if now is None or recorded is None:
        return "No score now."
    title, then = found.metric.title, found.metric.text(recorded, digits=2)
    if now == recorded:
        return f"Score ({title}) {then} then and now."
    return f"Score ({title}) {then} then, {found.metric.text(now, digits=2)} now."


def _why(found: Reproduction) -> str:
    if found.changes:
        return (
            "Rounding differs between processors, devices, precisions and versions, and training "
            "lets it grow from epoch to epoch until it is as large as between seeds: that may be "
            "all. Trained as it was, the record can be compared bit for bit."
        )
    return "Nothing on record says why: changed code, or a record that was changed afterwards."


def _document(difference: Difference | None) -> dict[str, Any] | None:
    return None if difference is None else asdict(difference)
