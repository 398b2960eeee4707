"""What a search proposes next: a function of its seed and of what came out some way back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.config import Scalar
from hpo.search.distributions import recorded, suggest
from hpo.search.samplers import make_sampler
from hpo.study.record import StudyRecord

_MOST_SEEN: Final = 1_000
"""The sampler sees the last so many configurations, at most twice as many: its time grows with
their number."""


@dataclass
class Proposals:
    """The search as its sampler sees it: a study in memory, one trial for each configuration.

    Configuration k is proposed from what those up to `k - window` came to. Of the ones between,
    the sampler knows that they are under way, even where they have ended. So which configurations
    a search tries follows from its seed and its window: not from the clock, from how many train at
    a time, or from a call that was killed.
    """

    record: StudyRecord
    _begin: int = 0
    _n_asked: int = 0
    _seen: optuna.Study = field(init=False)
    _under_way: dict[int, optuna.Trial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._forget(begin=0)

    def propose(
        self, configurations: Sequence[Sequence[FrozenTrial]], *, ordinal: int
    ) -> dict[str, Scalar]:
        """Return the parameters of configuration number `ordinal`.

        `configurations` holds the trials of each so far, the first repeat first: as many as there
        are ordinals before this one, unless some cannot be read. Those that the window is waited
        for have ended.
        """
        number, ordinal = ordinal, len(configurations)
        begin = max(0, (ordinal // _MOST_SEEN - 1) * _MOST_SEEN)
        if begin != self._begin or self._n_asked > ordinal:
            self._forget(begin=begin)
        for known in range(self._begin + self._n_known, ordinal - self.record.window + 1):
            self._learn(known, configurations[known])
        for asked in range(self._n_asked, ordinal):
            self._follow(asked, configurations[asked][0])
        self._seen.sampler = make_sampler(
            self.record.sampler, seed=self.record.seed, ordinal=number
        )
        # What it drew is forgotten: of a trial that runs, TPE sees more than its parameters, and
        # of those that another process proposed there is no more.
        drawn = self._seen.ask()
        params = suggest(drawn, self.record.space)
        self._seen.tell(drawn, state=TrialState.FAIL)
        return params

    @property
    def _n_known(self) -> int:
        return self._n_asked - self._begin - len(self._under_way)

    def _forget(self, *, begin: int) -> None:
        self._begin, self._n_asked = begin, begin
        self._under_way = {}
        self._seen = optuna.create_study(direction=self.record.score.kind.direction)

    def _learn(self, ordinal: int, trials: Sequence[FrozenTrial]) -> None:
        """Let the sampler see how a configuration ended."""
        seen = _observed(trials, self.record)
        asked = self._under_way.pop(ordinal, None)
        if asked is None:
            self._seen.add_trial(seen)
            self._n_asked += 1
            return
        for step, value in seen.intermediate_values.items():
            asked.report(value, step)
        self._seen.tell(asked, seen.value, state=seen.state)

    def _follow(self, ordinal: int, first: FrozenTrial) -> None:
        """Let the sampler see that a configuration is under way."""
        self._seen.sampler = RandomSampler(seed=0)  # What it says is not used.
        self._seen.enqueue_trial(first.user_attrs["params"])
        asked = self._seen.ask()
        suggest(asked, self.record.space)
        self._under_way[ordinal] = asked
        self._n_asked += 1


def _observed(trials: Sequence[FrozenTrial], record: StudyRecord) -> FrozenTrial:
    """Return a configuration as one trial: the mean over its repeats, or where it was pruned."""
    first = trials[0]
    params = first.user_attrs["params"]
    state, value, last = first.state, None, {}
    if state == TrialState.COMPLETE:
        value = fmean(t.value for t in trials if t.state == state and t.value is not None)
    elif state == TrialState.PRUNED and first.last_step is not None:
        last = {first.last_step: first.intermediate_values[first.last_step]}
    else:
        state = TrialState.FAIL
    return create_trial(
        state=state,
        value=value,
        params=params,
        distributions=recorded(record, params),
        intermediate_values=last,
    )
