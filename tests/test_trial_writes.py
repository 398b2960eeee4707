"""Writing many reports and attributes at once: what Optuna would have written one by one."""

import math
from pathlib import Path
from typing import Any, Final

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from hpo import trial_writes
from hpo.storage import open_storage
from tests.conftest import EVERY_STORAGE

SCORES: Final = {1: 0.5, 2: math.nan, 3: math.inf, 7: -math.inf, 8: 0.1 + 0.2, 9: 1e-300}
ATTRIBUTES: Final = {"run": "ab", "metrics": {"train": {"loss": 0.25}}, "n": 3, "text": "ä"}

on_every_storage = pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)


def make(url: str | None) -> optuna.Study:
    storage = open_storage(url).optuna if url else None
    return optuna.create_study(study_name="study", storage=storage)


def told(trial: optuna.Trial) -> Any:
    found = trial.study.get_trials()[trial.number]
    return repr(found.intermediate_values), found.user_attrs, found.state


@on_every_storage
def test_what_is_written_at_once_is_what_optuna_writes_one_by_one(storage_url: str) -> None:
    study = make(storage_url)
    ours, plain = study.ask(), study.ask()
    trial_writes.report({ours: SCORES})
    trial_writes.set_attributes(ours, ATTRIBUTES)
    for step, score in SCORES.items():
        plain.report(score, step)
    for name, value in ATTRIBUTES.items():
        plain.set_user_attr(name, value)
    assert told(ours) == told(plain)
    study.tell(ours, state=TrialState.PRUNED)
    study.tell(plain, state=TrialState.PRUNED)
    assert study.trials[0].value == study.trials[1].value


@on_every_storage
def test_the_first_report_of_a_step_stays(storage_url: str) -> None:
    trial = make(storage_url).ask()
    trial_writes.report({trial: {1: 0.5}})
    trial_writes.report({trial: {1: 0.75, 2: 1.0}})
    assert told(trial)[0] == repr({1: 0.5, 2: 1.0})


@on_every_storage
def test_a_trial_that_was_told_takes_nothing_and_the_others_all(storage_url: str) -> None:
    study = make(storage_url)
    over, under_way = study.ask(), study.ask()
    study.tell(over, 1.0)
    trial_writes.report({over: {1: 0.5}, under_way: {1: 0.25}})
    assert (told(over)[0], told(under_way)[0]) == ("{}", repr({1: 0.25}))
    with pytest.raises(UpdateFinishedTrialError):
        trial_writes.set_attributes(over, {"run": "ab"})
    assert told(over)[1] == {}


def test_a_study_in_memory_and_another_version_of_optuna_are_written_by_optuna(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_writes, "is_known", lambda: False)
    for url in (None, f"sqlite:///{tmp_path}/hpo.db"):
        trial = make(url).ask()
        trial_writes.report({trial: {1: 0.5, 2: 0.75}})
        trial_writes.set_attributes(trial, {"run": "ab"})
        assert told(trial)[:2] == (repr({1: 0.5, 2: 0.75}), {"run": "ab"})


def test_nothing_to_report_asks_nothing() -> None:
    trial_writes.report({})
