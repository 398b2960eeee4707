"""Opening the sealed test of a study, on record."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import optuna

from hpo.data import Dataset
from hpo.errors import StudyError
from hpo.evaluate.configurations import evaluate_configuration
from hpo.evaluate.documents import from_document, to_document
from hpo.evaluate.exam import Exam, check_test, open_exam
from hpo.evaluate.gathering import Candidate, gather
from hpo.evaluate.pairs import Names, compare
from hpo.evaluate.records import Evaluation
from hpo.evaluate.thresholds import DEFAULT, ThresholdRule, read_rule
from hpo.run.session import open_recorded_data
from hpo.storage.opening import Storage, explained, in_command
from hpo.storage.paths import runs_folder
from hpo.storage.runs import RunStore
from hpo.storage.url import mask_command
from hpo.study.gathering import summarize
from hpo.study.record import LIBRARY
from hpo.study.summary import StudySummary
from hpo.study.test_access import Opening, now, record_opening

ATTRIBUTE: Final = "test"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be opened. `is_all`: of a search too, every complete configuration."""

    threshold: str = DEFAULT
    is_all: bool = False
    command: str = LIBRARY


def open_test(
    study: optuna.Study, storage: Storage, request: Request, *, dataset: Dataset | None = None
) -> Evaluation:
    """Open the sealed test of a study from its run store, and put the opening on record.

    What the last opening found of the same trials at the same threshold is returned again: that is
    no other look at the test. Nothing is trained, and no weights are needed. The record is written
    before the first label is read; where something is missing, the test stays sealed. `dataset`
    are the data of the study where they are open already.

    Raises:
        UsageError: the threshold is none.
        StudyError: no trial is complete.
        RunStoreError: files of the run store are missing or of another version.
        DataError: the data are gone or changed, or their test split is empty or of one class.
    """
    rule = read_rule(request.threshold)
    with explained(storage.url):
        summary = summarize(study, storage_url=storage.url)
        store = RunStore(runs_folder(storage.url))
        candidates = gather(summary, store, is_all=request.is_all)
        if dataset is None:
            dataset = open_recorded_data(study, summary.record)
        check_test(dataset)
        trials = tuple(trial for c in candidates for trial in c.trials)
        with contextlib.suppress(StudyError):  # What is damaged is found anew.
            last = read_evaluation(study)
            if last and (last.threshold, last.trials) == (rule.text, set(trials)):
                return last
        opening = Opening(
            when=now(),
            command=mask_command(request.command),
            threshold=rule.text,
            trials=trials,
            n_complete=summary.count("complete"),
        )
        record_opening(study, opening)
        exam = open_exam(dataset, overlap=summary.record.data.overlap)
        evaluation = _mark(summary, candidates, exam, rule)
        study.set_user_attr(ATTRIBUTE, to_document(evaluation))
    return evaluation


def read_evaluation(study: optuna.Study) -> Evaluation | None:
    """Return what the last opening found, or None while the test is sealed.

    Raises:
        StudyError: the record is damaged.
    """
    document = study.user_attrs.get(ATTRIBUTE)
    try:
        return from_document(document) if document else None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StudyError(
            f"What the study {study.study_name} recorded of its test is damaged: hpo evaluate "
            f"{in_command(study)} opens it again."
        ) from None


def _mark(
    summary: StudySummary, candidates: tuple[Candidate, ...], exam: Exam, rule: ThresholdRule
) -> Evaluation:
    marked = [evaluate_configuration(candidate, exam, rule) for candidate in candidates]
    on_validation = summary.verdict
    pairs = compare(
        {c.verdict_name: answers for c, (_, answers) in zip(candidates, marked, strict=True)},
        _pairs(summary, candidates),
        overlap=exam.overlap,
        n_patients=exam.n_patients,
        n_tests=on_validation.n_pairs if on_validation and on_validation.n_left_out else None,
    )
    return Evaluation(
        study=summary.name,
        threshold=rule.text,
        n_normal=int((exam.labels == 0).sum()),
        n_pneumonia=int((exam.labels == 1).sum()),
        n_patients=exam.n_patients,
        configurations=tuple(evaluated for evaluated, _ in marked),
        pairs=pairs,
        notes=(*_about_pairs(summary), *_notes(summary, candidates, exam, rule)),
    )


def _pairs(summary: StudySummary, candidates: tuple[Candidate, ...]) -> list[Names]:
    """Return the pairs that are to be compared.

    Of a grid those that validation compares: every one, or of very many configurations those of
    the best on validation. Of a search the winner beside each other configuration.
    """
    names = [c.verdict_name for c in candidates]
    if summary.verdict:
        return list(combinations([name for name in names if name in summary.verdict.values], 2))
    best = [c.verdict_name for c in candidates if c.configuration is summary.best]
    return [(first, name) for first in best for name in names if name != first]


def _about_pairs(summary: StudySummary) -> Iterator[str]:
    if summary.verdict and summary.verdict.n_left_out:
        yield (
            f"Only the {len(summary.verdict.values)} with the best means on validation are "
            f"compared, corrected for all {summary.verdict.n_pairs:,} pairs."
        )


def _notes(
    summary: StudySummary, candidates: tuple[Candidate, ...], exam: Exam, rule: ThresholdRule
) -> Iterator[str]:
    if summary.record.data.is_phantom:
        yield "These are synthetic images (the phantom): this says nothing of real X-rays."
    if min(len(c.repeats) for c in candidates) < 2:
        yield (
            "With one repeat an interval tells what other patients would change, not what another "
            "training would."
        )
    n_open = sum(c.state != "complete" for c in summary.configurations)
    if summary.record.kind == "grid" and n_open:
        yield (
            f"{n_open} of {len(summary.configurations)} configurations lack repeats: what is "
            "trained after this opening is no longer blind to it."
        )
    if rule.is_chosen:
        yield (
            "Thresholds were chosen on validation, so that validation looks a little better than "
            "it is, and the gap a little wider."
        )
    if max(len(c.repeats) for c in candidates) > 1:
        yield _about_ensembles(rule)
    if exam.n_patients < len(exam.labels):
        yield (
            f"The {len(exam.labels)} test images are of {exam.n_patients} patients; intervals "
            "count patients."
        )


def _about_ensembles(rule: ThresholdRule) -> str:
    text = (
        "An ensemble is the mean probability of the repeats, taken as one model: its interval "
        "tells what other patients would change, not what other trainings would."
    )
    if rule.is_chosen:
        text += " Its threshold is the mean of theirs, each chosen on its own validation images."
    return text
