"""The reports' bases beside a search: trained like finalists, counted as no configuration."""

from typing import Any

import optuna
from optuna.trial import TrialState

from hpo import space as spaces
from hpo.search.tpe import REPORTS
from hpo.study.gathering import summarize
from hpo.study.record import Goal, StudyRecord
from tests.clocked_studies import Bench, open_source, record

GOAL = Goal(n_repeats=1, n_trials=4, n_finalists=2, n_final_repeats=3, with_baselines=True)


def search(**changes: Any) -> StudyRecord:
    return record("search", "learning_rate", "scheduler", "step_size", **changes)


def of_reports(study: optuna.Study) -> dict[str, list[optuna.trial.FrozenTrial]]:
    found: dict[str, list[optuna.trial.FrozenTrial]] = {}
    for trial in study.trials:
        if report := trial.user_attrs["report"]:
            found.setdefault(report, []).append(trial)
    return found


def test_every_base_gets_the_repeats_of_the_finalists(bench: Bench) -> None:
    study = bench.study(search())
    assert open_source(study, search(), GOAL).n_left() == 4 + 2 * 3 + 5 * 3
    assert len(bench.train(study, GOAL)) == 4 + 2 * 3 + 5 * 3
    found = of_reports(study)
    assert tuple(found) == REPORTS
    for name, trials in found.items():
        base = spaces.load_space(name).base
        assert [t.user_attrs["repeat"] for t in trials] == [1, 2, 3]
        assert all(t.state == TrialState.COMPLETE for t in trials)
        assert all(t.user_attrs["config"]["hidden"] == list(base.hidden) for t in trials)
    assert bench.train(study, GOAL) == []


def test_no_sampler_is_told_of_them(bench: Bench) -> None:
    study = bench.study(search())
    bench.train(study, GOAL)
    assert all(t.params == {} for trials in of_reports(study).values() for t in trials)


def test_they_are_compared_with_the_winner_and_are_no_configurations(bench: Bench) -> None:
    study = bench.study(search())
    bench.train(study, GOAL)
    summary = summarize(study, storage_url=bench.storage.url)
    assert len(summary.configurations) == 4
    assert [base.name for base in summary.reports] == list(REPORTS)
    for base in summary.reports:
        assert base.comparison is not None
        assert (base.comparison.a, base.comparison.b) == ("the winner", base.name)
        assert base.comparison.n_pairs == 3


def test_they_can_be_asked_for_later(bench: Bench) -> None:
    study = bench.study(search())
    bench.train(study, Goal(1, 4, 2, 3))
    assert len(bench.train(study, GOAL)) == 5 * 3
