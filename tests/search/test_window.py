"""The course of a search depends only on its seed and window."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.pruners import MedianPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.run import proposals
from hpo.run.loop import EpochDone, TrialDone
from hpo.run.proposals import START_UP, Proposer, is_behind, make_sampler, median_limits, spread
from hpo.study.record import Goal, StudyRecord
from hpo.study.score import read_score
from hpo.study.trials import distributions, search_distributions
from tests.clocked import ClockedStack
from tests.clocked_studies import SPACE, Bench, record

GOAL = Goal(n_repeats=1, n_trials=12, n_finalists=1, n_final_repeats=2)


def search(**changes: Any) -> StudyRecord:
    space = replace(SPACE, base=SPACE.base.replace(epochs=6))
    names = ("learning_rate", "scheduler", "step_size")
    return record("search", *names, **({"space": space, "pruner": "median"} | changes))


def described(study: optuna.Study) -> dict[tuple[int, int], object]:
    """Return the results of a study by configuration and repeat."""
    found = {
        (t.user_attrs["ordinal"], t.user_attrs["repeat"]): (
            t.params,
            t.state,
            t.value,
            t.intermediate_values,
            t.user_attrs.get("run"),
        )
        for t in study.get_trials(deepcopy=False)
    }
    assert len(found) == len(study.trials)
    return found


class UnevenStack(ClockedStack):
    """A stack whose lanes advance at random, like processes that do not wait for each other."""

    chance = random.Random(0)

    def step(self) -> list[Any]:
        every = dict(self.live)
        drawn = self.chance.sample(sorted(every), self.chance.randint(1, len(every)))
        self.live = {lane: every[lane] for lane in drawn}
        reached = super().step()
        self.live = {lane: every[lane] for lane in every if lane not in drawn or lane in self.live}
        return reached


@pytest.fixture(scope="module", params=[{}, {"sampler": "random"}])
def whole(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A search trained by one lane without interruption."""
    bench = Bench(tmp_path_factory.mktemp("whole"))
    of = search(window=4, **request.param)
    study = bench.study(of)
    done = bench.train(study, GOAL)
    assert {d.outcome for d in done} >= {"complete", "pruned"}
    return of, described(study)


def test_the_course_is_the_same_with_any_number_of_lanes(bench: Bench, whole: Any) -> None:
    of, expected = whole
    bench.stack = UnevenStack()
    study = bench.study(of)
    bench.train(study, GOAL, n_lanes=9)
    assert described(study) == expected


def test_a_repeatedly_interrupted_search_has_the_same_result(bench: Bench, whole: Any) -> None:
    of, expected = whole
    chance = random.Random(1)
    for _ in range(200):
        bench.stack = UnevenStack(stop_at=chance.randint(1, 25))
        study = bench.study(of)
        try:
            bench.train(study, GOAL, n_lanes=3)
        except KeyboardInterrupt:
            continue
        break
    assert described(bench.study(of)) == expected


@pytest.mark.parametrize("window", [0, 3])  # 0 occurs in older searches.
def test_a_reused_sampler_proposes_the_same_as_a_new_one(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the oldest trials are forgotten."""
    monkeypatch.setattr(proposals, "_MOST_SEEN", 12)
    of, chance = search(window=window, sampler="tpe"), random.Random(0)
    kept, seen = Proposer(of), list[list[FrozenTrial]]()
    for ordinal in range(1, 30):
        params = kept.propose(seen, ordinal=ordinal)
        assert params == Proposer(of).propose(seen, ordinal=ordinal)
        is_pruned, score = chance.random() < 0.3, chance.random()
        trial = create_trial(
            state=TrialState.PRUNED if is_pruned else TrialState.COMPLETE,
            params=params,
            distributions=distributions(of, params),
            user_attrs={"params": params},
            value=None if is_pruned else score,
            intermediate_values={3: score},
        )
        seen.append([trial])


@pytest.mark.parametrize(("sampler", "expected"), [("gp", "COMPLETE"), ("tpe", "PRUNED")])
def test_the_gaussian_process_learns_from_pruned_configurations(
    sampler: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna's version would ignore them."""
    of, seen = search(sampler=sampler), list[list[FrozenTrial]]()
    for ordinal in range(1, START_UP + 2):
        params = Proposer(of).propose(seen, ordinal=ordinal)
        trial = create_trial(
            state=TrialState.PRUNED if ordinal == 2 else TrialState.COMPLETE,
            params=params,
            distributions=distributions(of, params),
            user_attrs={"params": params},
            value=None if ordinal == 2 else 0.9,
            intermediate_values={3: 0.5},
        )
        seen.append([trial])
    spy = RandomSampler(seed=0)
    monkeypatch.setattr(spy, "before_trial", lambda study, _trial: told.extend(study.trials))
    monkeypatch.setitem(proposals.SAMPLERS, sampler, lambda _seed: spy)
    told: list[FrozenTrial] = []
    Proposer(of).propose(seen, ordinal=len(seen) + 1)
    assert [t.state.name for t in told[:3]] == ["COMPLETE", expected, "COMPLETE"]
    assert told[1].value == (0.5 if expected == "COMPLETE" else None)


def test_a_search_extended_after_its_finalists_equals_the_longer_search(tmp_path: Path) -> None:
    whole, parts = Bench(tmp_path / "whole"), Bench(tmp_path / "parts")
    of = search(window=3, sampler="gp")  # It depends on every digit of a score.
    one, two = whole.study(of), parts.study(of)
    whole.train(one, Goal(1, 12))
    parts.train(two, Goal(1, 9, 2, 2))
    parts.train(two, Goal(1, 12))
    found = described(two)
    assert all(found[place] == expected for place, expected in described(one).items())


@pytest.mark.parametrize("window", [1, 4])
def test_a_configuration_starts_after_all_those_it_depends_on(bench: Bench, window: int) -> None:
    bench.stack = UnevenStack()
    study = bench.study(search(window=window))
    ended: set[int] = set()
    most = 0
    for event in bench.events(study, Goal(1, 9), n_lanes=9):
        if isinstance(event, TrialDone):
            ended.add(event.job.ordinal)
        if isinstance(event, EpochDone) and event.epoch == 1:
            assert set(range(event.job.ordinal - window + 1)) <= ended
        most = max(most, len(study.get_trials(states=(TrialState.RUNNING,))))
    assert most == window


def test_a_window_of_one_follows_plain_optuna(bench: Bench) -> None:
    """After the start-up, the sampler sees the same trials as in plain Optuna."""
    plain_space = replace(SPACE, search=SPACE.search[:2])  # No condition: nothing is filled in.
    study = bench.study(record("search", "learning_rate", "scheduler", space=plain_space))
    bench.train(study, Goal(1, START_UP + 4))
    plain = optuna.create_study(direction="maximize")
    for ordinal, trial in enumerate(study.get_trials(deepcopy=False)):
        plain.sampler = make_sampler("tpe", seed=0, ordinal=ordinal)
        if ordinal < START_UP:
            plain.enqueue_trial(trial.params)
        asked = plain.ask(search_distributions(plain_space))
        assert asked.params == trial.params
        plain.tell(asked, trial.value)
    assert isinstance(plain.sampler, TPESampler)


@pytest.mark.parametrize("window", [1, 12])
def test_the_start_up_counts_configurations_not_results(bench: Bench, window: int) -> None:
    study = bench.study(search(window=window))
    bench.train(study, Goal(1, 20))
    asked = [t.params for t in study.get_trials(deepcopy=False)]
    even = spread(SPACE, seed=0, first=1, n=19)
    n_start = 1 + next(i for i, params in enumerate(even) if params != asked[i + 1])
    # With a wide window it lasts longer, because too few results are known.
    assert n_start == (START_UP if window == 1 else 14)


def curves() -> Iterator[Any]:
    yield st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=9), min_size=0, max_size=9)
    yield st.lists(st.floats(0, 1), min_size=1, max_size=9)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
@given(*curves())
def test_the_median_rule_matches_optuna(
    metric: str, earlier: list[list[float]], own: list[float]
) -> None:
    score = read_score(metric)
    study = optuna.create_study(direction=score.kind.direction)
    trials = [
        create_trial(value=0.0, intermediate_values=dict(enumerate(curve, start=1)))
        for curve in earlier
    ]
    study.add_trials(trials)
    trial = create_trial(
        state=TrialState.RUNNING, intermediate_values=dict(enumerate(own, start=1))
    )
    limits = median_limits(trials, 9)
    expected = MedianPruner(n_startup_trials=5, n_warmup_steps=3).prune(study, trial)
    assert is_behind(score, own, limits.get(len(own))) == expected
