"""What a search proposes next: a function of its seed and of what came out some way back."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Final

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.config import Scalar
from hpo.study.record import StudyRecord
from hpo.study.trials import distributions, suggest

_MOST_SEEN: Final = 1_000
"""The sampler sees the last 1,000 to 2,000 configurations: its time grows with their number."""


def _tpe(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        # `group` models conditional parameters together; Optuna calls it experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True)


SAMPLERS: Final[dict[str, Callable[[int], BaseSampler]]] = {
    "tpe": _tpe,
    "random": lambda seed: RandomSampler(seed=seed),
}


def make_sampler(name: str, *, seed: int, ordinal: int) -> BaseSampler:
    """Return the sampler that proposes configuration number `ordinal`.

    Its seed comes from the study's seed and the ordinal: a search that is resumed continues as
    it would have without a stop, instead of repeating its first proposals.
    """
    digest = hashlib.sha256(f"{seed}/{ordinal}".encode()).digest()
    return SAMPLERS[name](int.from_bytes(digest[:4], "big"))


class Proposals:
    """The search as its sampler sees it: a study in memory, one trial for each configuration.

    Configuration k is proposed from what those up to `k - window` came to. Of the ones between,
    the sampler knows only that they run, even where they have ended. So which configurations
    a search tries follows from its seed and its window: not from the clock, from how many train at
    a time, or from a command that was killed.
    """

    def __init__(self, record: StudyRecord) -> None:
        self.record = record
        self._forget(begin=0)

    def propose(
        self, configurations: Sequence[Sequence[FrozenTrial]], *, ordinal: int
    ) -> dict[str, Scalar]:
        """Return the parameters of configuration number `ordinal`.

        `configurations` holds the trials of each so far, the first repeat first: as many as there
        are ordinals before this one, unless some cannot be read. Those outside of the window have
        ended.
        """
        n = len(configurations)
        begin = max(0, (n // _MOST_SEEN - 1) * _MOST_SEEN)
        if begin != self._begin or self._n_asked > n:
            self._forget(begin=begin)
        first_unknown = self._n_asked - len(self._running)
        for known in range(first_unknown, n - self.record.window + 1):
            self._learn(known, configurations[known])
        for asked in range(self._n_asked, n):
            self._follow(asked, configurations[asked][0])
        self._seen.sampler = make_sampler(
            self.record.sampler, seed=self.record.seed, ordinal=ordinal
        )
        # The draw is forgotten: of a running trial TPE would see more than its parameters, which
        # are all that is there of those that an earlier command proposed.
        drawn = self._seen.ask()
        params = suggest(drawn, self.record.space)
        self._seen.tell(drawn, state=TrialState.FAIL)
        return params

    def _forget(self, *, begin: int) -> None:
        self._begin = self._n_asked = begin
        self._running: dict[int, optuna.Trial] = {}
        self._seen = optuna.create_study(direction=self.record.score.kind.direction)

    def _learn(self, ordinal: int, trials: Sequence[FrozenTrial]) -> None:
        """Let the sampler see how a configuration ended."""
        seen = _observed(trials, self.record)
        asked = self._running.pop(ordinal, None)
        if asked is None:
            self._seen.add_trial(seen)
            self._n_asked += 1
            return
        for step, value in seen.intermediate_values.items():
            asked.report(value, step)
        self._seen.tell(asked, seen.value, state=seen.state)

    def _follow(self, ordinal: int, first: FrozenTrial) -> None:
        """Let the sampler see that a configuration runs."""
        self._seen.sampler = RandomSampler(seed=0)  # Its draw is overruled by what is enqueued.
        self._seen.enqueue_trial(first.user_attrs["params"])
        asked = self._seen.ask()
        suggest(asked, self.record.space)
        self._running[ordinal] = asked
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
        distributions=distributions(record, params),
        intermediate_values=last,
    )
