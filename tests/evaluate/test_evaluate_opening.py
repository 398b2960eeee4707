"""Opening the sealed test: what is told, what goes on record, what stays sealed."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from hpo.config import TrainingConfig
from hpo.data import TEST
from hpo.errors import DataError, RunStoreError, StudyError, UsageError
from hpo.evaluate import METRICS, read_evaluation, to_document
from hpo.evaluate.gathering import gather
from hpo.study.gathering import summarize
from hpo.study.record import LIBRARY
from hpo.study.summary import StudySummary
from hpo.study.test_access import Opening, read_openings
from tests.conftest import make_images
from tests.evaluate.conftest import Finished, able, guess


def right(labels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return 0.1 + 0.8 * labels


def wrong(labels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return 0.9 - 0.8 * labels


def summary(made: Finished) -> StudySummary:
    return summarize(made.study, storage_url=made.storage.url)


def sealed(made: Finished) -> bool:
    return read_openings(made.study) == () and read_evaluation(made.study) is None


def test_every_configuration_of_a_grid_has_every_metric_with_its_interval(grid: Finished) -> None:
    found = grid.open()
    assert [c.params for c in found.configurations] == [{"batch_size": 16}, {"batch_size": 32}]
    for evaluated in found.configurations:
        assert tuple(evaluated.metrics) == METRICS
        for interval in evaluated.metrics.values():
            assert interval.mean is not None
            if interval.low is not None:
                assert 0 <= interval.low <= interval.mean <= interval.high <= 1  # type: ignore[operator]
    assert found.configurations[0].metrics["accuracy"].low is not None
    assert (found.n_normal, found.n_pneumonia, found.n_patients) == (8, 8, 16)
    assert [(p.a, p.b) for p in found.pairs] == [(16, 32)]


def test_accuracy_and_confusion_are_those_of_the_recorded_answers(grid: Finished) -> None:
    evaluated = grid.open().configurations[0]
    labels = grid.dataset.labels[grid.dataset.where(TEST)]
    runs = [grid.runs.read(r.run or "") for r in summary(grid).configurations[0].repeats]
    right = [(np.array(run.test_probabilities) > 0.5) == labels for run in runs if run]
    assert evaluated.metrics["accuracy"].mean == pytest.approx(np.mean(right))
    assert evaluated.confusion.n_right == np.sum(right)
    assert evaluated.n_right == pytest.approx(np.sum(right) / 3)


def test_an_opening_goes_on_record_with_time_command_threshold_and_trials(grid: Finished) -> None:
    grid.open(command="hpo evaluate study --storage postgresql://me:secret@host/db")
    (opening,) = read_openings(grid.study)
    assert opening.command == "hpo evaluate study --storage postgresql://me:***@host/db"
    assert (opening.threshold, opening.trials, opening.n_complete) == ("0.5", tuple(range(6)), 6)
    assert opening.when.endswith("+00:00")
    grid.open(threshold="youden")
    assert [o.threshold for o in read_openings(grid.study)] == ["0.5", "youden"]
    assert len(summary(grid).openings) == 2


def test_the_record_is_written_before_a_label_is_read(
    grid: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("looked")

    monkeypatch.setattr("hpo.evaluate.opening.open_exam", fail)
    with pytest.raises(RuntimeError, match="looked"):
        grid.open()
    assert len(read_openings(grid.study)) == 1


def test_what_was_found_is_kept_and_read_again_whole(grid: Finished) -> None:
    assert sealed(grid)
    found = grid.open()
    assert read_evaluation(grid.study) == found
    assert json.loads(json.dumps(to_document(found))) == to_document(found)


def test_the_same_opening_again_finds_the_same(grid: Finished) -> None:
    assert grid.open() == grid.open()


def test_a_search_opens_the_winner_alone_unless_all_are_asked_for(
    tmp_path: Path, xrays: Path
) -> None:
    made = Finished(tmp_path, xrays, kind="search", n_repeats=1)
    for value in (1e-4, 1e-3, 1e-2):
        made.add(value, 0, validation=able if value == 1e-3 else guess)
    assert [c.value for c in made.open().configurations] == [1e-3]
    assert read_openings(made.study)[0].trials == (1,)
    every = made.open(is_all=True)
    assert every.configurations[0].value == 1e-3
    assert len(every.configurations) == 3
    assert every.configurations[0].name == "#2"
    assert [p.a for p in every.pairs] == ["#2", "#2"]


def test_of_very_many_configurations_the_best_on_validation_are_compared(
    finished: Finished,
) -> None:
    """Those that look best on the test, and are not, stay out of it."""
    best = range(40, 55)
    for value in range(2, 103):
        of_best = (wrong, right) if value in best else (right, wrong)
        finished.add(value, 0, test=of_best[0], validation=of_best[1])
    found = finished.open()
    assert len(found.configurations) == 101
    assert [(p.a, p.b) for p in found.pairs] == list(combinations(best, 2))
    words = "the 15 with the best means on validation are compared, corrected for all 5,050 pairs"
    assert words in " ".join(found.notes)


def test_of_a_small_grid_nothing_is_said_of_pairs_left_out(grid: Finished) -> None:
    assert "best means on validation" not in " ".join(grid.open().notes)


def test_two_openings_at_once_are_both_on_record(
    grid: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the record and writing it each waits for the other, if that comes so far."""
    both = threading.Barrier(2)

    def as_document(opening: Opening) -> dict[str, Any]:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(timeout=2)
        return asdict(opening)

    monkeypatch.setattr("hpo.study.test_access.asdict", as_document)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda rule: grid.open(threshold=rule), ("0.5", "youden")))
    assert sorted(o.threshold for o in read_openings(grid.study)) == ["0.5", "youden"]


def test_a_threshold_is_chosen_on_the_validation_images_of_the_same_repeat(
    finished: Finished,
) -> None:
    for repeat in range(2):
        finished.add(16, repeat, validation=lambda labels, _: 0.02 + 0.02 * labels)
    fixed = finished.open().configurations[0]
    chosen = finished.open(threshold="youden").configurations[0]
    assert fixed.thresholds == (0.5, 0.5)
    assert chosen.thresholds == pytest.approx((0.03, 0.03))
    assert chosen.metrics["sensitivity"].mean == 1.0
    assert chosen.metrics["auroc"] == fixed.metrics["auroc"]


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_no_threshold_looks_at_a_test_label(grid: Finished, seed: int) -> None:
    """The answers of the test are shuffled: what is chosen stays as it is."""
    first = grid.open(threshold="youden").configurations[0].thresholds
    labels = grid.dataset.labels.copy()
    test = grid.dataset.where(TEST)
    labels[test] = np.random.default_rng(seed).permutation(labels[test])
    other = replace(grid.dataset, labels=labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpo.evaluate.opening.open_recorded_data", lambda *_: other)
        again = grid.open(threshold="youden").configurations[0].thresholds
    assert again == first


def test_one_repeat_is_said_to_tell_of_patients_alone(finished: Finished) -> None:
    finished.add(16, 0)
    assert "With one repeat" in " ".join(finished.open().notes)


def test_several_images_of_a_patient_are_said(grid: Finished) -> None:
    one_each = grid.open()
    patients = grid.dataset.patients // 2
    with pytest.MonkeyPatch.context() as patch:
        shared = replace(grid.dataset, patients=patients)
        patch.setattr("hpo.evaluate.opening.open_recorded_data", lambda *_: shared)
        found = grid.open(threshold="0.4")
    assert "16 test images are of 8 patients" in " ".join(found.notes)
    assert "intervals count patients" not in " ".join(one_each.notes)


def test_a_broken_model_is_said(finished: Finished) -> None:
    finished.add(16, 0, test=lambda labels, rng: 0.5 + 0.2311 * rng.random(len(labels)))
    signs = " ".join(finished.open().configurations[0].signs)
    assert "Every test image is called pneumonia (probabilities 0.5" in signs
    assert "sigmoid" not in signs


def test_without_a_complete_trial_there_is_nothing_to_open(finished: Finished) -> None:
    with pytest.raises(StudyError, match="hpo resume study"):
        finished.open()
    assert sealed(finished)


def test_an_unknown_threshold_opens_nothing(grid: Finished) -> None:
    with pytest.raises(UsageError, match="--threshold"):
        grid.open(threshold="best")
    assert sealed(grid)


def test_missing_and_foreign_run_files_are_all_named_and_leave_the_test_sealed(
    finished: Finished,
) -> None:
    gone, other, cut, short = (finished.add(16, repeat) for repeat in range(4))
    folder = finished.runs.folder
    (folder / f"{gone}.json").unlink()
    for digest, changes in ((other, {"format": 99}), (short, {"test_probabilities": [0.5]})):
        path = folder / f"{digest}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (folder / f"{cut}.json").write_text('{"format": 1')
    with pytest.raises(RunStoreError) as error:
        finished.open()
    text = str(error.value)
    for words in (
        f"{gone}.json is missing",
        f"{other}.json is of another version of hpo (format 99",
        f"{cut}.json is damaged",
        f"{short}.json holds answers to 1 of 16 test images",
        "batch_size 16, repeat 1: ",
        "HPO_RUNS",
        "--study study-again",
    ):
        assert words in text
    assert sealed(finished)


def test_a_study_made_in_python_is_not_offered_a_command_for_a_second_one(
    grid: Finished,
) -> None:
    for path in grid.runs.folder.iterdir():
        path.unlink()
    made = summary(grid)
    library = replace(made, record=replace(made.record, command=LIBRARY))
    with pytest.raises(RunStoreError, match="Settings") as error:
        gather(library, grid.runs, is_all=False)
    assert 'the same call with Settings(study="study-again", …)' in str(error.value)
    assert "library" not in str(error.value)


def test_answers_that_are_no_numbers_are_refused(finished: Finished) -> None:
    finished.add(16, 0, test=lambda labels, _: np.full(len(labels), np.nan))
    with pytest.raises(RunStoreError, match="diverged"):
        finished.open()


def test_data_that_changed_leave_the_test_sealed(grid: Finished) -> None:
    np.save(grid.data / "test_normal.npy", make_images(8, is_ill=False, seed=77))
    with pytest.raises(DataError, match="not what they were"):
        grid.open()
    assert sealed(grid)


def test_data_that_are_gone_leave_the_test_sealed(grid: Finished) -> None:
    for path in grid.data.iterdir():
        path.unlink()
    with pytest.raises(DataError, match="The data of the study study"):
        grid.open()
    assert sealed(grid)


@pytest.mark.parametrize(
    ("kept", "words"), [((), "no test split"), ((0,), "are normal"), ((1,), "are pneumonia")]
)
def test_a_test_without_both_classes_is_refused(
    grid: Finished, monkeypatch: pytest.MonkeyPatch, kept: tuple[int, ...], words: str
) -> None:
    split = grid.dataset.split.copy()
    split[(split == TEST) & ~np.isin(grid.dataset.labels, kept)] = 0
    other = replace(grid.dataset, split=split)
    monkeypatch.setattr("hpo.evaluate.opening.open_recorded_data", lambda *_: other)
    with pytest.raises(DataError, match=words):
        grid.open()
    assert sealed(grid)


def test_an_unfinished_grid_is_opened_with_a_warning(grid: Finished) -> None:
    config = TrainingConfig(batch_size=64)
    attributes = {"params": {"batch_size": 64}, "config": config.to_mapping()}
    attributes |= {"ordinal": 0, "repeat": 0, "seed": 0, "fold": 0}
    waiting = create_trial(
        state=TrialState.WAITING,
        params={"batch_size": 64},
        distributions={"batch_size": FloatDistribution(0, 1e6)},
        user_attrs=attributes,
    )
    grid.study.add_trial(waiting)
    found = grid.open()
    assert len(found.configurations) == 2
    assert "1 of 3 configurations lack repeats" in " ".join(found.notes)
