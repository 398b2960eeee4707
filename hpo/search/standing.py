"""How a search stands: what it has tried, and what that leaves of its goal."""

from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.search.finalists import finalist_jobs
from hpo.search.job import Job
from hpo.search.report_bases import report_jobs
from hpo.search.trials import Trials
from hpo.space import Cell
from hpo.study.record import Goal, StudyRecord


class Standing:
    """What a search has: the trials of each configuration, and those of the reports' bases.

    `configurations` holds the trials by ordinal, the first repeat first; of two tries of one place
    the later. `is_open` while one of them runs or waits, finalists aside. `cells` are those of a
    space that is gone through, each once, else None.
    """

    def __init__(
        self,
        trials: Trials,
        record: StudyRecord,
        goal: Goal,
        *,
        cells: list[Cell] | None,
    ) -> None:
        ours = trials.ours
        self.record, self.goal, self.cells = record, goal, cells
        self.n_enqueued = len(trials.enqueued)
        self.of_search = [t for t in ours if not t.user_attrs.get("report")]
        self.is_open = any(
            not t.state.is_finished() and t.user_attrs["repeat"] < goal.n_repeats
            for t in self.of_search
        )
        self.places = {(t.user_attrs["ordinal"], t.user_attrs["repeat"]): t for t in ours}
        by_ordinal: dict[int, list[FrozenTrial]] = {}
        for (ordinal, _), trial in sorted(self.places.items(), key=lambda item: item[0]):
            if ordinal >= 0:
                by_ordinal.setdefault(ordinal, []).append(trial)
        # Where the first repeat cannot be read, another configuration is tried instead.
        self.configurations = [
            trials for ordinal, trials in by_ordinal.items() if (ordinal, 0) in self.places
        ]
        self.next_ordinal = 1 + max(by_ordinal, default=-1)

    @property
    def n_wanted(self) -> int:
        """The number of configurations to be tried: the goal, or all there are."""
        return self.goal.n_trials if self.cells is None else len(self.cells)

    @property
    def n_tried(self) -> int:
        """The number of configurations; one that failed is replaced, where there are others.

        Of a space that is gone through each counts once, even if a sampler proposed it twice
        while the goal was lower.
        """
        firsts = [trials[0] for trials in self.configurations]
        if self.cells is None:
            return sum(t.state != TrialState.FAIL for t in firsts)
        return len({tuple(sorted(t.user_attrs["params"].items())) for t in firsts})

    @property
    def n_to_try(self) -> int:
        """The number of configurations still to be proposed: those enqueued whatever the goal."""
        return max(self.n_enqueued, self.n_wanted - self.n_tried)

    @property
    def n_left(self) -> int:
        """The number of trainings left if nothing is pruned, those that run included."""
        goal = self.goal
        n_left = self.n_to_try * goal.n_repeats
        for trials in self.configurations:
            n_ended = sum(t.state.is_finished() for t in trials[: goal.n_repeats])
            n_left += 0 if is_dead_end(trials[0]) else goal.n_repeats - n_ended
        last = report_jobs(self.record, goal)
        if n_left:
            n_left += min(goal.n_finalists, self.n_wanted) * goal.n_final_repeats
        else:
            last += finalist_jobs(self.of_search, self.record, goal)
        return n_left + sum(not self.has_ended(job) for job in last)

    def has_ended(self, job: Job) -> bool:
        """Whether the job was trained to its end, pruned, or failed."""
        trial = self.places.get(job.place)
        return trial is not None and trial.state.is_finished()


def all_cells(record: StudyRecord, goal: Goal) -> list[Cell] | None:
    """Return every configuration of the space, None where there are more than the goal."""
    return spaces.search_cells(record.space, most=goal.n_trials)


def is_dead_end(first: FrozenTrial) -> bool:
    """Whether no repeats follow the first."""
    return first.state in (TrialState.PRUNED, TrialState.FAIL)
