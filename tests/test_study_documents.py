"""The record of a study as plain data, and what becomes of one that was tampered with."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo.errors import HpoError, StudyError
from hpo.study import study as studies
from hpo.study.documents import to_document, to_goal, to_record
from hpo.study.record import Goal
from tests.clocked_studies import Bench, record

RECORD = record(
    *("search", "learning_rate", "scheduler"), metric="stress_auroc", window=4, is_gpu_named=True
)
DOCUMENT: dict[str, Any] = json.loads(json.dumps(to_document(RECORD)))
# The fingerprint is told twice: that of the data is read.
READ = DOCUMENT.keys() - {"format", "fingerprint"}
NEEDED = sorted(READ - {"metric", "window", "is_gpu_named"})
RUBBISH = [None, [], {}, [[1]], {"new": 1}, 5, -1, True, "x", 1e999, "<script>"]


def test_a_record_comes_back_from_its_document() -> None:
    assert to_record(DOCUMENT) == RECORD


def test_a_record_from_before_gpus_were_named_is_read() -> None:
    old = {name: value for name, value in DOCUMENT.items() if name != "is_gpu_named"}
    assert to_record(old) == replace(RECORD, is_gpu_named=False)


def test_a_record_from_before_notes_on_the_data_is_read() -> None:
    new = {"notes", "bits"}
    data = {name: value for name, value in DOCUMENT["data"].items() if name not in new}
    found = to_record(DOCUMENT | {"data": data}).data
    assert found == replace(RECORD.data, notes=(), bits=16)


@pytest.mark.parametrize("name", NEEDED)
def test_a_record_that_lacks_something_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        to_record({n: value for n, value in DOCUMENT.items() if n != name})


@pytest.mark.parametrize("value", RUBBISH, ids=repr)
@pytest.mark.parametrize("name", sorted(READ))
def test_rubbish_in_a_record_is_refused_or_is_a_record(name: str, value: object) -> None:
    try:
        found = to_record(DOCUMENT | {name: value})
    except (ValueError, HpoError):
        return
    assert to_record(json.loads(json.dumps(to_document(found)))) == found


def test_a_study_with_a_damaged_record_is_said_to_be_one(tmp_path: Path) -> None:
    study = Bench(tmp_path).study(RECORD)
    study.set_user_attr("hpo", DOCUMENT | {"names": 5})
    with pytest.raises(StudyError, match=r"study is damaged: .*names.*hpo delete study"):
        studies.read_record(study)


@pytest.mark.parametrize("field", sorted(DOCUMENT["data"]))
def test_rubbish_in_the_data_is_refused(field: str) -> None:
    for value in ({"a": 1}, -1, 1e999) if field == "notes" else ([], {"a": 1}, -1, 1e999):
        with pytest.raises(ValueError, match=field):
            to_record(DOCUMENT | {"data": DOCUMENT["data"] | {field: value}})


@pytest.mark.parametrize("goal", [None, [], "x", {"n_trials": "many"}, {"n_repeats": -1}])
def test_a_damaged_goal_is_said(tmp_path: Path, goal: object) -> None:
    study = Bench(tmp_path).study(RECORD)
    study.set_user_attr("goal", goal)
    with pytest.raises(StudyError, match="is damaged"):
        studies.read_goal(study)


def test_a_goal_from_before_there_were_finalists_is_read() -> None:
    assert to_goal({"n_repeats": 3, "n_trials": 9}) == Goal(3, 9)
