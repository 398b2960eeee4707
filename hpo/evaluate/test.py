"""Opening the sealed test of a study, on record."""

import contextlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final

import optuna

from hpo.data.dataset import TEST, Dataset, count_classes, seal
from hpo.errors import DataError, StudyError
from hpo.evaluate.configurations import (
    Candidate,
    Predictions,
    TestSet,
    evaluate_configuration,
    evaluate_predictions,
    gather,
    open_test_set,
    predict_by_regression,
)
from hpo.evaluate.intervals import Answers, compare, compare_metric
from hpo.evaluate.records import Evaluation, from_document, to_document
from hpo.evaluate.thresholds import DEFAULT, ThresholdRule, check_rule, read_rule
from hpo.storage.opening import attributes_of, in_command, url_of
from hpo.storage.paths import runs_folder
from hpo.storage.runs import RunStore
from hpo.storage.url import mask_command
from hpo.study.baselines import REGRESSION
from hpo.study.gathering import summarize
from hpo.study.record import LIBRARY
from hpo.study.study import open_recorded_data
from hpo.study.summary import StudySummary
from hpo.study.test_access import Opening, now, record_opening
from hpo.tables import count

ATTRIBUTE: Final = "test"


def check_test(dataset: Dataset) -> None:
    """Check that there is a test to open.

    Raises:
        DataError: there is no test split, or it lacks a class.
    """
    test = dataset.where(TEST)
    if not len(test):
        raise DataError(
            f"{dataset.name} has no test split, so there is nothing to evaluate. Add test images "
            "of every class (a folder named test next to train), then start a new study on them."
        )
    counts = count_classes(dataset.class_names, dataset.labels[test])
    if missing := [name for name, n in counts.items() if not n]:
        raise DataError(
            f"None of the {len(test)} test images of {dataset.name} is {' or '.join(missing)}; "
            "metrics need every class. Add such images, then start a new study on them."
        )


def open_test(
    study: optuna.Study,
    *,
    threshold: str = DEFAULT,
    is_all: bool = False,
    command: str = LIBRARY,
    dataset: Dataset | None = None,
) -> Evaluation:
    """Open the sealed test of a study from its run store, and record it.

    If the last opening covered the same trials at the same threshold, its result is returned: that
    does not count as another use of the test. No network is trained, and no weights are needed; a
    logistic regression is fitted for comparison. The record is written before the first label is
    read; if anything is missing, the test stays sealed. `is_all` evaluates every complete
    configuration of a search. `dataset` is the data of the study if it is already open.

    Raises:
        UsageError: the threshold cannot be read, or the data have more than two classes.
        StudyError: no trial is complete.
        RunStoreError: files of the run store are missing or from another version.
        DataError: the data are missing or changed, or their test split is empty or lacks a class.
    """
    rule = read_rule(threshold)
    summary = summarize(study)
    candidates = gather(summary, RunStore(runs_folder(url_of(study))), is_all=is_all)
    if dataset is None:
        dataset = open_recorded_data(study, summary.record)
    check_test(dataset)
    check_rule(rule, len(dataset.class_names))
    trials, last = tuple(repeat.trial for *_, runs in candidates for repeat, _ in runs), None
    with contextlib.suppress(StudyError):  # A damaged record is replaced.
        last = read_evaluation(study)
    is_again = last and (last.threshold, last.trials) == (rule.text, set(trials))
    if last and is_again and last.regression:
        return last
    # Before the test is opened: it takes a while, and needs no label of the test.
    pool = seal(dataset)
    best = next((c for c in candidates if c[1] is summary.best), None)
    by_regression = predict_by_regression(best, pool) if best else []
    opening = Opening(
        when=now(),
        command=mask_command(command),
        threshold=rule.text if len(dataset.class_names) == 2 else "none",
        trials=trials,
        n_complete=summary.count("complete"),
    )
    if not is_again:
        record_opening(study, opening)
    test = open_test_set(dataset, pool, overlap=summary.record.data.overlap)
    evaluation = _evaluate(summary, candidates, by_regression, test, rule)
    study.set_user_attr(ATTRIBUTE, to_document(evaluation))
    return evaluation


def read_evaluation(study: optuna.Study) -> Evaluation | None:
    """Return the result of the last opening, or None while the test is sealed.

    Raises:
        StudyError: the record is damaged.
    """
    document = attributes_of(study).get(ATTRIBUTE)
    try:
        return from_document(document) if document else None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StudyError(
            f"The recorded test results of the study {study.study_name} are damaged. Evaluate it "
            f"again: hpo evaluate {in_command(study)}"
        ) from None


def _evaluate(
    summary: StudySummary,
    candidates: Sequence[Candidate],
    by_regression: Sequence[Predictions],
    test: TestSet,
    rule: ThresholdRule,
) -> Evaluation:
    evaluated, answers, best = [], dict[Hashable, Answers](), list[Hashable]()
    for candidate in candidates:
        name, configuration, _ = candidate
        key = configuration.value if summary.record.kind == "grid" else name
        found, answers[key] = evaluate_configuration(candidate, test, rule)
        evaluated.append(found)
        best += [key] if configuration is summary.best else []
    verdict, n_tests = summary.verdict, None
    if verdict:
        # The pairs of a grid that are compared on validation: the best, if there are very many.
        pairs = list(combinations([name for name in answers if name in verdict.values], 2))
        n_tests = verdict.n_pairs if verdict.n_left_out else None
    else:
        pairs = [(first, name) for first in best for name in answers if name != first]
    regression = None
    if by_regression:
        regression, others = evaluate_predictions(REGRESSION, by_regression, test, rule)
        above = compare_metric(
            list(answers.values()),
            others,
            summary.record.score.metric,
            overlap=test.overlap,
            n_patients=test.n_patients,
        )
        pairs_of_one = zip(evaluated, above, strict=True)
        evaluated = [replace(one, above_regression=interval) for one, interval in pairs_of_one]
    return Evaluation(
        study=summary.name,
        threshold=rule.text,
        n_images=len(test.labels),
        classes=count_classes(test.class_names, test.labels),
        n_patients=test.n_patients,
        configurations=tuple(evaluated),
        pairs=compare(
            answers, pairs, overlap=test.overlap, n_patients=test.n_patients, n_tests=n_tests
        ),
        notes=tuple(_notes(summary, [len(runs) for *_, runs in candidates], test, rule)),
        regression=regression,
    )


def _notes(
    summary: StudySummary, n_repeats: Sequence[int], test: TestSet, rule: ThresholdRule
) -> Iterator[str]:
    verdict, every = summary.verdict, summary.configurations
    if verdict and verdict.n_left_out:
        yield (
            f"Only the {len(verdict.values)} with the best means on validation are compared, "
            f"corrected for all {verdict.n_pairs:,} pairs."
        )
    if summary.record.data.is_phantom:
        yield "These are synthetic images (the phantom): the results do not apply to real X-rays."
    if min(n_repeats) < 2:
        yield "With one repeat, an interval covers other patients but not other trainings."
    n_open = sum(c.state != "complete" for c in every)
    if summary.record.kind == "grid" and n_open:
        yield (
            f"{n_open} of {len(every)} configurations lack repeats. Trainings added from now on "
            "are no longer blind to the test."
        )
    if summary.record.kind == "search" and summary.n_left:
        yield (
            f"The search lacks {count(summary.n_left, 'training')}, so another configuration may "
            "win. Trainings added from now on are no longer blind to the test."
        )
    if rule.is_chosen:
        yield (
            "Thresholds were chosen on validation, so the validation results are slightly too "
            "good and the gap is slightly too wide."
        )
    if max(n_repeats) > 1:
        yield (
            "An ensemble averages the probabilities of all repeats. Its interval covers other "
            "patients but not other trainings."
            + " Its threshold is the mean of the thresholds of the repeats."
            * rule.is_chosen
        )
    if test.n_patients < len(test.labels):
        yield (
            f"The {len(test.labels)} test images are from {test.n_patients} patients. Intervals "
            "are computed over patients."
        )
