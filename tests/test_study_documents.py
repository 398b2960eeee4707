"""The record of a study as plain data, and messages for a damaged one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo.errors import StudyError
from hpo.study import study as studies
from hpo.study.record import Goal, StudyRecord
from tests.clocked_studies import Bench, record

RECORD = record(
    *("search", "learning_rate", "scheduler"), metric="stress_auroc", window=4, is_gpu_named=True
)
DOCUMENT: dict[str, Any] = json.loads(json.dumps(RECORD.to_document()))


def test_a_record_round_trips_also_without_newer_fields() -> None:
    assert StudyRecord.from_document(DOCUMENT) == RECORD
    old = {name: value for name, value in DOCUMENT.items() if name != "is_gpu_named"}
    assert StudyRecord.from_document(old) == replace(RECORD, is_gpu_named=False)
    data = {name: v for name, v in DOCUMENT["data"].items() if name not in {"notes", "bits"}}
    found = StudyRecord.from_document(DOCUMENT | {"data": data}).data
    assert found == replace(RECORD.data, notes=(), bits=16)
    assert Goal.from_document({"n_repeats": 3, "n_trials": 9}) == Goal(3, 9)


@pytest.mark.parametrize("goal", ["x", {"n_trials": "many"}, {"n_repeats": -1}])
def test_a_damaged_record_or_goal_is_reported_with_the_command_that_helps(
    tmp_path: Path, goal: object
) -> None:
    study = Bench(tmp_path).study(RECORD)
    study.set_user_attr("goal", goal)
    with pytest.raises(StudyError, match=r"study is damaged: 'goal': .*hpo delete study"):
        studies.read_goal(study)
    study.set_user_attr("hpo", DOCUMENT | {"names": 5})
    with pytest.raises(StudyError, match=r"study is damaged: 'hpo': names: .*hpo delete study"):
        studies.read_record(study)
