"""Searches: the base first, no repeated proposals, then the finalists."""

import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.choices import AUTO
from hpo.errors import StudyError
from hpo.run.plan import Settings, plan_search
from hpo.run.proposals import SAMPLERS, START_UP
from hpo.space import Choices, Parameter, Range
from hpo.study.gathering import summarize
from hpo.study.progress import REPORTS
from hpo.study.record import SAMPLERS as SAMPLER_NAMES
from hpo.study.record import Goal, StudyRecord
from hpo.study.study import renew_record
from hpo.study.summary import sentences
from hpo.training.engine import TrainingResult
from tests.clocked import ClockedStack
from tests.clocked_studies import DATA, SPACE, Bench, open_source, record

GOAL = Goal(n_repeats=1, n_trials=6, n_finalists=3, n_final_repeats=2)


def search(**changes: Any) -> StudyRecord:
    return record("search", "learning_rate", "scheduler", "step_size", **changes)


def search_over(*parameters: Parameter, **changes: Any) -> StudyRecord:
    """Return the record of a search over these parameters, with changes of the base."""
    space = replace(SPACE, search=parameters, base=SPACE.base.replace(**changes))
    return record("search", *(parameter.name for parameter in parameters), space=space)


def proposals(study: optuna.Study) -> list[dict[str, Any]]:
    """Return the parameters of the first repeats that did not fail, in the order of proposal."""
    first = [t for t in study.trials if t.user_attrs["repeat"] == 0 and t.state != TrialState.FAIL]
    return [t.params for t in sorted(first, key=lambda t: t.user_attrs["ordinal"])]


def by_ordinal(study: optuna.Study, *, fresh: bool) -> dict[int, list[float]]:
    """Return the scores of complete repeats of the search or the retraining, by configuration."""
    found: dict[int, list[float]] = {}
    for trial in sorted(study.trials, key=lambda trial: trial.user_attrs["repeat"]):
        is_fresh = trial.user_attrs["repeat"] >= GOAL.n_repeats
        if trial.state == TrialState.COMPLETE and is_fresh == fresh:
            found.setdefault(trial.user_attrs["ordinal"], []).append(trial.value)
    return found


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_a_search_in_parts_equals_the_whole_search(tmp_path: Path, sampler: str) -> None:
    whole, parts = Bench(tmp_path / "whole"), Bench(tmp_path / "parts")
    one, other = whole.study(search(sampler=sampler)), whole.study(search(seed=1), "other")
    whole.train(one, Goal(1, 13))
    whole.train(other, Goal(1, 3))
    for n_trials in (5, 13):
        two = parts.study(search(sampler=sampler))
        parts.train(two, Goal(1, n_trials))
    assert parts.train(two, Goal(1, 13)) == []
    assert proposals(one) == proposals(two)
    assert len({str(p) for p in proposals(one)}) == 13
    assert proposals(other)[1:] != proposals(one)[1:3]
    # A conditional parameter is present exactly when its condition holds.
    assert all(("step_size" in p) == (p["scheduler"] == "step") for p in proposals(one))
    assert {p["scheduler"] for p in proposals(one)} == {"none", "cosine", "step"}


def test_a_configuration_is_not_proposed_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = {"learning_rate": 0.01, "scheduler": "step", "step_size": 3}
    same = RandomSampler()
    monkeypatch.setattr(same, "sample_independent", lambda _study, _trial, name, _: fixed[name])
    monkeypatch.setitem(SAMPLERS, "gp", lambda _: same)
    study = bench.study(search(sampler="gp"))
    bench.train(study, Goal(1, 13))
    assert fixed in proposals(study)
    assert len({str(p) for p in proposals(study)}) == 13


def test_the_gaussian_process_knows_the_order_of_choices_among_numbers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees their places as whole numbers; Optuna's choices have no order."""
    choices = {"batch_size": (8, 16, 64), "epochs": (4, 3), "scheduler": ("cosine", "none")}
    parameters = [Choices(name=name, choices=own) for name, own in choices.items()]
    rate = Range(name="learning_rate", low=1e-3, high=1e-2, log=True)
    seen: list[FrozenTrial] = []
    spy = RandomSampler(seed=0)
    monkeypatch.setattr(spy, "before_trial", lambda study, _trial: seen.extend(study.trials))
    monkeypatch.setitem(SAMPLERS, "gp", lambda _: spy)
    study = bench.study(replace(search_over(*parameters, rate), sampler="gp"))
    bench.train(study, Goal(1, 14))
    proposed = proposals(study)
    assert all(p[name] in own for p in proposed for name, own in choices.items())
    assert len({p["batch_size"] for p in proposed[-4:]}) > 1
    for trial, params in zip(seen[:START_UP], proposed, strict=False):
        place = choices["batch_size"].index(params["batch_size"])
        assert trial.params == params | {"batch_size": place}
    kinds = {name: type(one).__name__ for name, one in seen[0].distributions.items()}
    assert [kinds[name][:3] for name in choices] == ["Int", "Cat", "Cat"]


def test_a_failed_configuration_is_replaced_by_another(bench: Bench) -> None:
    wide = Range(name="learning_rate", low=1e-3, high=10.0, log=True)
    study = bench.study(search_over(wide, learning_rate=10.0))
    done = bench.train(study, Goal(1, 4))
    assert [d.outcome for d in done].count("complete") == 4
    assert done[0].outcome == "failed"
    assert len(study.trials) == 5


def test_a_failing_repeat_is_not_retried_forever(bench: Bench) -> None:
    bench.stack = ClockedStack(diverging_seed=1)
    study, goal = bench.study(search()), Goal(2, 4, 2, 2)
    done = bench.train(study, goal)
    assert sorted(d.outcome for d in done) == ["complete"] * 8 + ["failed"] * 4
    assert open_source(study, search(), goal).n_left() == 0
    assert bench.train(study, goal) == []


class NumberlessStack(ClockedStack):
    """Its results have no AUROC, as of a network that is only wrong under stress."""

    def result(self, lane: int) -> TrainingResult:
        found = super().result(lane)
        last = found.run.epochs[-1]
        last = replace(last, validation=last.validation | {"auroc": math.nan})
        run = replace(found.run, epochs=(*found.run.epochs[:-1], last))
        return TrainingResult(run, found.weights)


def test_a_training_whose_score_is_not_a_number_fails_also_from_the_run_store(
    bench: Bench,
) -> None:
    bench.stack = NumberlessStack()
    for name in ("trained", "reused"):
        study = bench.study(record("grid", metric="auroc"), name)
        done = bench.train(study, Goal(1))
        assert [d.outcome for d in done] == ["failed"] * 3
        assert done[0].reason == "its AUROC is not a number."


def test_pruning_also_applies_to_reused_runs(tmp_path: Path) -> None:
    long = replace(SPACE, base=SPACE.base.replace(epochs=9))
    fresh, primed = Bench(tmp_path / "fresh"), Bench(tmp_path / "primed")
    primed.train(primed.study(search(space=long, sampler="random"), "whole"), Goal(1, 12))
    pruned = search(space=long, sampler="random", pruner="median")
    one, two = fresh.study(pruned), primed.study(pruned)
    done = fresh.train(one, Goal(1, 12))
    primed.train(two, Goal(1, 12))
    assert [d.outcome for d in done].count("pruned") > 1
    assert all(len(t.intermediate_values) >= 3 for t in one.trials)
    for a, b in zip(one.trials, two.trials, strict=True):
        assert (a.state, a.intermediate_values) == (b.state, b.intermediate_values)


def test_every_offered_sampler_exists() -> None:
    assert set(SAMPLER_NAMES) == {*SAMPLERS, "qmc"}
    assert AUTO in SAMPLERS


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_finalists_are_retrained_with_new_seeds(bench: Bench, metric: str) -> None:
    of = search(metric=metric)
    study = bench.study(of)
    # Remaining trainings include the finalists from the beginning.
    assert open_source(study, of, GOAL).n_left() == 6 + 3 * 2
    assert len(bench.train(study, GOAL)) == 6 + 3 * 2
    assert open_source(study, of, GOAL).n_left() == 0
    assert bench.train(study, GOAL) == []
    searched, fresh = by_ordinal(study, fresh=False), by_ordinal(study, fresh=True)
    best = sorted(searched, key=lambda ordinal: -of.score.rank(fmean(searched[ordinal])))[:3]
    assert set(fresh) == set(best)
    last = [t.user_attrs for t in study.trials[-6:]]
    assert [attributes["ordinal"] for attributes in last[::2]] == best
    for name in ("repeat", "seed", "fold"):
        assert [attributes[name] for attributes in last] == [1, 2] * 3
    # One more can replace one finalist; the others are trained already.
    study.enqueue_trial({"learning_rate": 0.0123})
    assert open_source(study, of, GOAL).n_left() == 1 + 2


def test_a_search_without_finalists_asks_for_no_final_repeats() -> None:
    """The goal only grows: repeats that nobody needs would stay in it."""
    plan = plan_search((), Settings(trials=5, finalists=0))
    later = plan_search((), Settings(trials=5, finalists=2, final_repeats=2))
    assert plan.goal.raised(later.goal).n_final_repeats == 2


def test_only_configurations_with_the_required_sensitivity_can_win(bench: Bench) -> None:
    # In the clocked engine the sensitivity is 1.5 minus the accuracy.
    study = bench.study(search(require={"sensitivity": 0.65}))
    bench.train(study, GOAL)
    found = summarize(study)
    searched = {c.number: c.scores[0] for c in found.configurations}
    able = sorted((n for n in searched if searched[n] <= 0.85), key=lambda n: -searched[n])
    assert max(searched.values()) > 0.85
    assert found.finalists
    assert {c.number for c in found.finalists.members} == set(able[:3])
    assert " of 3 finalists with at least 65\u00a0% sensitivity, " in sentences(found)[0]
    assert found.requirement == (
        f"{len(able)} of 6 configurations have at least 65\u00a0% sensitivity; "
        "the others cannot win."
    )
    # None reaches it: the finalists are the nearest ones.
    renew_record(study, DATA, require={"sensitivity": 0.99})
    record = renew_record(study, DATA, require={"specificity": 0.1})
    assert record.require == {"sensitivity": 0.99, "specificity": 0.1}
    assert record.judged_by(require={"specificity": 0.0}).require == {"sensitivity": 0.99}
    bench.train(study, GOAL)
    found = summarize(study)
    last = min(searched, key=lambda n: searched[n])
    assert found.best
    assert found.best.number == last
    assert f"No finalist has {record.required}: #{last} comes nearest, with" in found.requirement
    assert f"#{last} of 3 finalists comes nearest to the requirements, " in sentences(found)[0]


def test_a_single_finalist_is_not_called_the_best(bench: Bench) -> None:
    study = bench.study(search())
    bench.train(study, replace(GOAL, n_finalists=1))
    assert "is the only finalist, retrained" in sentences(summarize(study))[0]


def test_a_larger_goal_selects_finalists_again_and_keeps_trained_repeats(bench: Bench) -> None:
    study = bench.study(search())
    bench.train(study, replace(GOAL, n_trials=2))
    before = by_ordinal(study, fresh=True)
    assert len(before) == 2  # Fewer configurations than finalists: all of them.
    bench.train(study, replace(GOAL, n_trials=12))
    searched, fresh = by_ordinal(study, fresh=False), by_ordinal(study, fresh=True)
    best = sorted(searched, key=lambda ordinal: -fmean(searched[ordinal]))[:3]
    assert len(searched) == 12
    assert set(best) <= set(fresh)
    assert all(fresh[ordinal] == before[ordinal] for ordinal in before)


def test_a_space_smaller_than_the_goal_is_searched_once(bench: Bench) -> None:
    sizes = Choices(name="batch_size", choices=(8, 16, 128))
    few = search_over(sizes, Choices(name="dropout", choices=(0.0, 0.5)))
    study, goal = bench.study(few), Goal(1, 50)
    assert open_source(study, few, goal).n_left() == 6
    done = bench.train(study, goal)
    assert len({d.job.config.identity() for d in done}) == len(done) == 6
    assert [d.outcome for d in done].count("failed") == 2  # They are not replaced.
    assert bench.train(study, goal) == []


def test_a_search_whose_trials_all_fail_ends_with_the_reason(bench: Bench) -> None:
    rates = Range(name="learning_rate", low=10.0, high=10.0)
    of = search_over(rates, Range(name="dropout", low=0.0, high=0.5), learning_rate=10.0)
    with pytest.raises(StudyError, match="not finite in epoch 2"):
        bench.train(bench.study(of), Goal(1, 50))


def test_course_networks_get_finalist_repeats_but_are_not_configurations(bench: Bench) -> None:
    goal = Goal(n_repeats=1, n_trials=2, n_finalists=1, n_final_repeats=2, with_baselines=True)
    study = bench.study(search())
    assert open_source(study, search(), goal).n_left() == 2 + 1 * 2 + 5 * 2
    bench.train(study, replace(goal, with_baselines=False))
    assert len(bench.train(study, goal)) == 5 * 2  # They can be asked for later.
    assert bench.train(study, goal) == []
    for name in REPORTS:
        trials = [t for t in study.trials if t.user_attrs["report"] == name]
        hidden = list(spaces.load_space(name).base.hidden)
        assert [t.user_attrs["repeat"] for t in trials] == [1, 2]
        assert all(t.user_attrs["config"]["hidden"] == hidden for t in trials)
        assert all(t.params == {} for t in trials)  # The sampler does not see them.
    summary = summarize(study)
    assert len(summary.configurations) == 2
    assert [(pair.a, pair.b, pair.n_pairs) for pair in summary.report_pairs] == [
        ("the winner", name, 2) for name in REPORTS
    ]
