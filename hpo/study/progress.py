"""The progress of a search: what it has tried, and what is left of its goal."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.space import Cell
from hpo.study.record import Goal, StudyRecord
from hpo.study.trials import Job, Trials, first_repeat, job_of, place_of

REPORTS: Final = ("report_a", "report_b", "report_c", "report_d", "report_e")


class SearchProgress:
    """The state of a search: the trials of each configuration, and of the course networks.

    `places` holds the trials by ordinal and repeat, the later of two attempts; `configurations`
    the trials by ordinal, first repeat first, without those of finalists. `is_open` is true if one
    of them is running or waiting. `cells` are all configurations of a small space (`all_cells`).

    Of `n_wanted` configurations, `n_tried` exist: a failed one is replaced if there are others,
    and in a small space each counts once, even if a sampler proposed it twice while the goal was
    lower. `n_to_propose` are left for the sampler, none once the goal's patience is exhausted;
    `n_to_try` are left in total, including enqueued ones.
    """

    def __init__(
        self, trials: Trials, record: StudyRecord, goal: Goal, cells: list[Cell] | None
    ) -> None:
        self.record, self.goal, self.cells = record, goal, cells
        self.of_search = [t for t in trials.own if not t.user_attrs.get("report")]
        self.is_open = any(
            not t.state.is_finished() and t.user_attrs["repeat"] < goal.n_repeats
            for t in self.of_search
        )
        self.places = {place_of(t): t for t in trials.own}
        by_ordinal: dict[int, list[FrozenTrial]] = {}
        for (ordinal, repeat), trial in sorted(self.places.items(), key=lambda item: item[0]):
            if ordinal >= 0 and repeat < goal.n_repeats:
                by_ordinal.setdefault(ordinal, []).append(trial)
        # If the first repeat cannot be read, another configuration is tried instead.
        self.configurations = [
            trials for ordinal, trials in by_ordinal.items() if (ordinal, 0) in self.places
        ]
        self.next_ordinal = 1 + max([-1, *(ordinal for ordinal, _ in self.places)])
        firsts = [trials[0] for trials in self.configurations]
        if self.cells is None:
            self.n_wanted = goal.n_trials
            self.n_tried = sum(t.state != TrialState.FAIL for t in firsts)
        else:
            self.n_wanted = len(self.cells)
            self.n_tried = len({tuple(sorted(t.user_attrs["params"].items())) for t in firsts})
        self.n_to_propose = 0 if self._is_stalled() else max(0, self.n_wanted - self.n_tried)
        self.n_to_try = max(len(trials.enqueued), self.n_to_propose)

    def known_before(self, ordinal: int) -> list[list[FrozenTrial]]:
        """Return the configurations that this one depends on: those outside its window."""
        return self.configurations[: max(0, ordinal - self.record.window + 1)]

    def _is_stalled(self) -> bool:
        """Whether the known configurations have not improved for too long."""
        configurations = self.known_before(self.next_ordinal)
        if not self.goal.patience or not all(map(self.has_ended, configurations)):
            return False
        scores = []
        for trials in configurations:
            values = [t.value for t in trials if t.value is not None]
            is_complete = trials[0].state == TrialState.COMPLETE
            scores.append(self.record.score.rank(fmean(values)) if is_complete else -math.inf)
        n_since = len(scores) - 1 - scores.index(max(scores)) if scores else 0
        return n_since >= self.goal.patience

    def has_ended(self, trials: list[FrozenTrial]) -> bool:
        """Whether all repeats of a configuration in the search are done."""
        is_whole = len(trials) == self.goal.n_repeats
        return is_dead_end(trials[0]) or (is_whole and all(t.state.is_finished() for t in trials))

    @property
    def n_left(self) -> int:
        """The number of trainings left if nothing is pruned, including running ones."""
        goal = self.goal
        n_left = self.n_to_try * goal.n_repeats
        for trials in self.configurations:
            n_ended = sum(t.state.is_finished() for t in trials)
            n_left += 0 if is_dead_end(trials[0]) else goal.n_repeats - n_ended
        last = finalist_jobs(self.of_search, self.record, goal)
        if n_left:
            # Every configuration that is left may replace one of the finalists.
            n_new = self.n_to_try + sum(not self.has_ended(c) for c in self.configurations)
            last = last[: max(0, goal.n_finalists - n_new) * goal.n_final_repeats]
            n_left += min(goal.n_finalists, n_new) * goal.n_final_repeats
        last += report_jobs(self.record, goal)
        ended = {place for place, trial in self.places.items() if trial.state.is_finished()}
        return n_left + sum(job.place not in ended for job in last)


def all_cells(record: StudyRecord, goal: Goal) -> list[Cell] | None:
    """Return every configuration of the space, None if there are more than the goal."""
    return spaces.search_cells(record.space, most=goal.n_trials)


def is_dead_end(first: FrozenTrial) -> bool:
    """Whether no repeats follow the first one."""
    return first.state in (TrialState.PRUNED, TrialState.FAIL)


def choose_finalists(trials: Sequence[FrozenTrial], record: StudyRecord, goal: Goal) -> list[Job]:
    """Return the first repeats of the configurations with the best mean scores in the search.

    Equal configurations count once, and equal scores are ranked in order. If some configurations
    meet the requirements of the study, the others are dropped; if none does, the nearest lead.
    """
    if not goal.n_finalists:
        return []
    scores: dict[str, list[float]] = {}
    measured: dict[str, list[Mapping[str, Mapping[str, float]]]] = {}
    firsts: dict[str, Job] = {}
    for trial in trials:
        if trial.state != TrialState.COMPLETE:
            continue
        job = job_of(trial)
        if job.report or job.repeat >= goal.n_repeats:
            continue
        assert trial.value is not None
        scores.setdefault(job.config.identity(), []).append(trial.value)
        metrics = trial.user_attrs.get("metrics", {})
        measured.setdefault(job.config.identity(), []).append(metrics)
        if job.repeat == 0:
            firsts.setdefault(job.config.identity(), job)
    means = {name: record.score.rank(fmean(scores[name])) for name in firsts}
    lacks = {name: record.shortfall(measured[name]) for name in firsts}
    ranked = sorted(firsts, key=lambda name: (lacks[name], -means[name], firsts[name].ordinal))
    if ranked and not lacks[ranked[0]]:
        ranked = [name for name in ranked if not lacks[name]]
    return [firsts[name] for name in ranked[: goal.n_finalists]]


def finalist_jobs(trials: Sequence[FrozenTrial], record: StudyRecord, goal: Goal) -> list[Job]:
    """Return the trainings of the finalists, the best configuration first.

    Call it when every configuration has its `goal.n_repeats`: the repeats of finalists follow
    them, so no seed and no fold that selected them is used again.
    """
    return [
        job.with_repeat(repeat)
        for job in choose_finalists(trials, record, goal)
        for repeat in goal.fresh_repeats
    ]


def report_jobs(record: StudyRecord, goal: Goal) -> list[Job]:
    """Return the trainings of the course networks, with the same repeats as the finalists.

    Their ordinals are negative, so they do not count as configurations of the search.
    """
    if not goal.with_baselines:
        return []
    bases = {name: spaces.load_space(name).base for name in REPORTS}
    if (n_classes := len(record.data.class_names)) > 2:
        bases = {name: base.replace(outputs=n_classes) for name, base in bases.items()}
    networks = [
        first_repeat(record, Cell({}, config), ordinal=-place, report=name)
        for place, (name, config) in enumerate(bases.items(), start=1)
    ]
    return [job.with_repeat(repeat) for job in networks for repeat in goal.fresh_repeats]
