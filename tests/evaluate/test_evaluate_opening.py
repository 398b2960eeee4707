"""Evaluating on the sealed test set: results, the record of accesses, and refusals."""

import json
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from hpo.data.dataset import TEST, Dataset
from hpo.errors import DataError, RunStoreError, StudyError
from hpo.evaluate.intervals import compare_metric, draw_weights
from hpo.evaluate.records import from_document, to_document
from hpo.evaluate.test import read_evaluation
from hpo.stats import Interval, share
from hpo.study.baselines import baselines
from hpo.study.gathering import summarize
from hpo.study.record import Goal
from hpo.study.study import raise_goal
from hpo.study.summary import StudySummary
from hpo.study.test_access import Opening, read_openings
from hpo.views.evaluations import evaluation_sentence
from tests.evaluate.conftest import Finished, good, guess


def right(labels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return 0.1 + 0.8 * labels


def wrong(labels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return 0.9 - 0.8 * labels


def summary(made: Finished) -> StudySummary:
    return summarize(made.study)


def sealed(made: Finished) -> bool:
    return read_openings(made.study) == () and read_evaluation(made.study) is None


def with_data(patch: pytest.MonkeyPatch, dataset: Dataset) -> None:
    """Give the study other data than it recorded."""
    patch.setattr("hpo.evaluate.test.open_recorded_data", lambda *_: dataset)


def test_an_evaluation_is_stored_and_read_back(grid: Finished) -> None:
    assert sealed(grid)
    found = grid.open()
    assert read_evaluation(grid.study) == found == grid.open()
    assert json.loads(json.dumps(to_document(found))) == to_document(found)
    damaged = to_document(found) | {"configurations": [{"name": "batch_size 16"}]}
    grid.study.set_user_attr("test", damaged)
    with pytest.raises(StudyError, match="damaged"):
        read_evaluation(grid.study)
    assert grid.open() == found


def test_a_test_access_is_recorded_before_any_label_is_read(
    grid: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("looked")

    monkeypatch.setattr("hpo.evaluate.test.open_test_set", fail)
    with pytest.raises(RuntimeError, match="looked"):
        grid.open(command="hpo evaluate study --storage postgresql://me:secret@host/db")
    (opening,) = read_openings(grid.study)
    assert opening.command == "hpo evaluate study --storage 'postgresql://me:***@host/db'"
    assert (opening.threshold, opening.trials, opening.n_complete) == ("0.5", tuple(range(6)), 6)
    assert opening.when.endswith("+00:00")


def test_two_simultaneous_test_accesses_are_both_recorded(
    grid: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_between(opening: Opening) -> dict[str, Any]:
        """Evaluate again after the first call has read the record."""
        monkeypatch.setattr("hpo.study.test_access.asdict", asdict)
        grid.open(threshold="youden")
        return asdict(opening)

    monkeypatch.setattr("hpo.study.test_access.asdict", open_between)
    grid.open()
    assert sorted(o.threshold for o in read_openings(grid.study)) == ["0.5", "youden"]


def test_a_search_evaluates_the_winner_or_all_on_request(tmp_path: Path, xrays: Path) -> None:
    made = Finished(tmp_path, xrays, kind="search", n_repeats=1)
    for value in (1e-4, 1e-3, 1e-2):
        made.add(value, 0, validation=good if value == 1e-3 else guess)
    assert [c.value for c in made.open().configurations] == [1e-3]
    assert read_openings(made.study)[0].trials == (1,)
    every = made.open(is_all=True)
    assert every.configurations[0].value == 1e-3
    assert len(every.configurations) == 3
    assert every.configurations[0].name == "#2"
    assert [p.a for p in every.pairs] == ["#2", "#2"]


def test_of_many_configurations_the_best_on_validation_are_compared(finished: Finished) -> None:
    """Those that are best only on the test set are left out."""
    best = range(40, 55)
    for value in range(2, 103):
        of_best = (wrong, right) if value in best else (right, wrong)
        finished.add(value, 0, test=of_best[0], validation=of_best[1])
    found = finished.open()
    assert len(found.configurations) == 101
    assert [(p.a, p.b) for p in found.pairs] == list(combinations(best, 2))
    words = "the 15 with the best means on validation are compared, corrected for all 5,050 pairs"
    assert words in " ".join(found.notes)


def test_a_threshold_is_chosen_only_on_validation_images_of_its_repeat(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    for repeat in range(2):
        at = 0.02 * (1 + repeat)
        finished.add(16, repeat, validation=lambda labels, _, at=at: at + 0.02 * labels)
    assert finished.open().configurations[0].thresholds == (0.5, 0.5)
    # Other test labels do not change the chosen threshold.
    labels = finished.dataset.labels.copy()
    test = finished.dataset.where(TEST)
    labels[test] = np.random.default_rng(0).permutation(labels[test])
    for _ in range(2):
        chosen = finished.open(threshold="youden").configurations[0].thresholds
        assert chosen == pytest.approx((0.03, 0.05))
        finished.study.set_user_attr("test", None)
        with_data(monkeypatch, replace(finished.dataset, labels=labels))


def test_limitations_of_the_results_are_reported(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished.add(16, 0, test=lambda labels, rng: 0.5 + 0.2311 * rng.random(len(labels)))
    with_data(monkeypatch, replace(finished.dataset, patients=finished.dataset.patients // 2))
    found = finished.open(threshold="0.4")
    for words in (
        "With one repeat",
        "16 test images are from 8 patients",
        "configurations lack rep",
    ):
        assert words in " ".join(found.notes)
    (sign,) = found.configurations[0].signs
    assert "Every test image is classified as pneumonia (probabilities 0.5" in sign


def test_without_a_complete_trial_the_test_stays_sealed(finished: Finished) -> None:
    with pytest.raises(StudyError, match="hpo resume study"):
        finished.open()
    assert sealed(finished)


def test_unusable_run_files_are_listed_and_the_test_stays_sealed(finished: Finished) -> None:
    gone, other, cut, short = (finished.add(16, repeat) for repeat in range(4))
    finished.add(16, 4, test=lambda labels, _: np.full(len(labels), np.nan))
    folder = finished.runs.folder
    (folder / f"{gone}.json").unlink()
    for digest, changes in ((other, {"format": 99}), (short, {"test_probabilities": [0.5]})):
        path = folder / f"{digest}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (folder / f"{cut}.json").write_text('{"format": 1')
    with pytest.raises(RunStoreError) as error:
        finished.open()
    for words in (
        f"{gone}.json is missing",
        f"{other}.json is damaged, or from another version of hpo",
        f"{cut}.json is damaged",
        f"{short}.json has answers to 1 of 16 test images",
        "the training diverged",
        "batch_size 16, repeat 1: ",
        "HPO_RUNS",
        "with `hpo export study ",
        " --all`, then evaluate again",
    ):
        assert words in str(error.value)
    assert sealed(finished)


@pytest.mark.parametrize(
    ("kept", "words"), [((), "no test split"), ((0,), "is pneumonia"), ((1,), "is normal")]
)
def test_a_test_set_without_both_classes_is_refused(
    grid: Finished, monkeypatch: pytest.MonkeyPatch, kept: tuple[int, ...], words: str
) -> None:
    split = grid.dataset.split.copy()
    split[(split == TEST) & ~np.isin(grid.dataset.labels, kept)] = 0
    with_data(monkeypatch, replace(grid.dataset, split=split))
    with pytest.raises(DataError, match=words):
        grid.open()
    assert sealed(grid)


def test_a_result_is_valid_only_for_the_repeats_it_was_computed_from(grid: Finished) -> None:
    found, best = grid.open(), summary(grid).best
    assert best
    assert found.of(best) is not None
    for value in (8, 16):
        grid.add(value, 3)
    raise_goal(grid.study, Goal(4))
    assert found.of(summary(grid).best) is None


def test_a_logistic_regression_is_evaluated_on_the_same_folds(grid: Finished) -> None:
    found, best = grid.open(), summary(grid).best
    regression, evaluated = found.regression, found.of(best)
    assert regression
    assert regression not in found.configurations
    # On validation it is the baseline of the study: test plus gap.
    folds = [repeat.fold for repeat in best.judged]
    expected = baselines(grid.sealed, folds)["logistic regression"]
    for metric in ("accuracy", "auroc"):
        on_validation = regression.metrics[metric].mean + regression.gap[metric].mean
        assert on_validation == pytest.approx(np.mean(expected[metric]))
    for one in found.configurations:
        apart = one.metrics["accuracy"].mean - regression.metrics["accuracy"].mean
        assert one.above_regression.mean == pytest.approx(apart)
        assert one.above_regression.n == len(folds)
    # Evaluations of older versions lack it; it is added without another opening.
    older = to_document(found) | {"regression": None}
    older["configurations"] = [one | {"above_regression": None} for one in older["configurations"]]
    assert from_document(older).of(best) == replace(evaluated, above_regression=None)
    grid.study.set_user_attr("test", older)
    assert grid.open() == found
    assert len(read_openings(grid.study)) == 1


def test_the_regression_is_fitted_before_the_test_is_opened(
    grid: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.evaluate.configurations.regressions", Mock(side_effect=MemoryError))
    with pytest.raises(MemoryError):
        grid.open()
    assert sealed(grid)


def test_the_comparison_with_a_regression_in_words(grid: Finished) -> None:
    study, found = summary(grid), grid.open()
    best = found.of(study.best)

    def words(
        mean: float, low: float | None, high: float | None, metric: str = "accuracy", n: int = 3
    ) -> str:
        metrics = {**best.metrics, metric: Interval(0.7, 0.6, 0.8, None, n)}
        above = Interval(mean, low, high, None, n)
        evaluated = tuple(replace(c, above_regression=above) for c in found.configurations)
        regression = replace(found.regression, metrics=metrics)
        evaluation = replace(found, configurations=evaluated, regression=regression)
        record = replace(study.record, metric=metric)
        sentence = evaluation_sentence(evaluation, replace(study, record=record))
        return sentence[sentence.index("A plain") :]

    start = "A plain logistic regression has 70.0\N{NO-BREAK SPACE}% accuracy there"
    better = "the network is better, by 9.0 points (95 % interval 4.0 to 14.0)."
    assert words(0.09, 0.04, 0.14) == f"{start}: {better}"
    assert words(-0.09, -0.14, -0.04) == f"{start}: {better.replace('better', 'worse')}"
    alone = f"{start}: {better} This compares two models, not two configurations."
    assert words(0.09, 0.04, 0.14, n=1) == alone
    unclear = "no significant difference (95 % interval +0.0 to +5.0 points)."
    assert words(0.02, -0.0001, 0.05) == f"{start}: {unclear}"
    assert words(0.02, None, None) == f"{start}."
    assert words(0.02, -1.0, 1.0, n=2) == f"{start}; 2 repeats are too few to compare."
    # A lower loss is better; small numbers keep digits.
    loss = words(-0.0009, -0.0014, -0.0004, "log_loss")
    assert loss.startswith("A plain logistic regression has log loss 0.700 there: the network is ")
    assert loss.endswith("better, by 0.0009 (95 % interval 0.0004 to 0.0014).")


def test_a_regression_and_one_training_are_compared_by_mcnemars_test() -> None:
    """5 of 16 answers differ, all in one direction: p = 0.0625."""
    right = np.ones(16, bool)
    wrong = np.arange(16) >= 5
    weights = draw_weights(np.arange(16), seed=0)
    answers = [{0: ({"accuracy": share(one)(weights)}, one)} for one in (right, wrong)]
    (interval,) = compare_metric(answers[:1], answers[1], "accuracy", overlap=0.25, n_patients=16)
    assert interval.mean == pytest.approx(5 / 16)
    assert interval.low == 0
    assert compare_metric(
        [{1: answers[0][0]}], answers[1], "accuracy", overlap=0, n_patients=16
    ) == [None]
