"""A trial under way: what it trains, what it has reported, and when it ends early."""

from dataclasses import dataclass, field

import optuna

from hpo.run.events import Outcome, TrialDone
from hpo.search import Begun, Job
from hpo.search.pruning import is_behind
from hpo.storage.runs import RunKey
from hpo.study.score import Score


@dataclass
class UnderWay:
    """A trial that runs, where its run is or will be, and the scores of its epochs so far.

    What was reported before, by a call that was cut off, is not reported again.
    """

    begun: Begun
    key: RunKey
    scores: dict[int, float] = field(default_factory=dict)
    unreported: dict[int, float] = field(default_factory=dict)

    @property
    def trial(self) -> optuna.Trial:
        return self.begun.trial

    @property
    def job(self) -> Job:
        return self.begun.job

    def __post_init__(self) -> None:
        reported = self.trial.storage.get_trial(self.trial._trial_id).intermediate_values
        self._n_reported = max(reported, default=0)

    def note(self, score: float | None, *, step: int) -> None:
        """Note an epoch where it has a score; one that was reported before is not again."""
        if score is None:
            return
        self.scores[step] = score
        if step > self._n_reported:
            self.unreported[step] = score
            self._n_reported = step

    def is_to_prune(self, score: Score, *, step: int) -> bool:
        """Whether the best epoch so far is behind those of earlier configurations."""
        so_far = [value for epoch, value in self.scores.items() if epoch <= step]
        return is_behind(score, so_far, self.begun.limits.get(step))

    def ended(self, outcome: Outcome) -> TrialDone:
        return TrialDone(
            trial=self.trial.number, job=self.job, run=self.key.digest(), outcome=outcome
        )
