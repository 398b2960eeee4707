"""The next proposals of a search, and the limits that prune its trainings.

Both depend only on the seed and the known configurations, and not on the clock, unlike Optuna's
MedianPruner, which compares with all complete trials.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Final

import optuna
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from threadpoolctl import threadpool_limits  # A dependency of scikit-learn.

from hpo import space as spaces
from hpo.config import Scalar
from hpo.space import Choices, Space
from hpo.study.record import StudyRecord
from hpo.study.score import Score
from hpo.study.trials import Limits, search_distributions

START_UP: Final = 10
"""This many first configurations need no results: the base, then evenly spread points."""
_LEAST_COMPLETE: Final = 3
"""The fewest results for a model of the score; until then more such points follow."""
_LEAST_CURVES: Final = 5
_MOST_BY_GP: Final = 150
"""From this configuration on TPE replaces the Gaussian process, whose time is cubic."""
_MOST_POINTS: Final = 8
_FAR: Final = 4_096
"""How far on in the sequence another point is taken, beyond those of most searches."""
_MOST_SEEN: Final = 1_000
"""The sampler sees at least this many of the last configurations, and at most twice as many."""

SAMPLERS: Final[dict[str, Callable[[int], BaseSampler]]] = {
    "tpe": lambda seed: TPESampler(seed=seed, multivariate=True, n_startup_trials=1),
    "gp": lambda seed: GPSampler(seed=seed, n_startup_trials=1),
    "random": lambda seed: RandomSampler(seed=seed),
}


def make_sampler(name: str, *, seed: int, ordinal: int) -> BaseSampler:
    """Return the sampler that proposes configuration number `ordinal`.

    Its seed derives from the study's seed and the ordinal, so that a resumed search continues as
    if it had not been interrupted, instead of repeating its first proposals.
    """
    digest = hashlib.sha256(f"{seed}/{ordinal}".encode()).digest()
    return SAMPLERS[name](int.from_bytes(digest[:4], "big"))


def spread(space: Space, *, seed: int, first: int, n: int) -> list[dict[str, Scalar]]:
    """Return points of the scrambled Sobol sequence of this seed, from `first` (1 or more) on."""
    from scipy.stats.qmc import Sobol  # It takes a second to import.

    points = Sobol(len(space.search), rng=seed).fast_forward(first).random(n)
    return [
        spaces.active(space, {p.name: p.at(x) for p, x in zip(space.search, point, strict=True)})
        for point in points.tolist()
    ]


class Proposer:
    """Proposes the configurations of one search, one after another.

    Configuration k is proposed from the results of those up to `k - window`, which have ended; the
    later ones only count as running. So the proposals depend on the seed and the window of the
    search, and not on the clock, the number of parallel trainings, or a killed command.

    For the sampler every configuration has every parameter: one without effect has the base's
    value, and its proposed value is dropped. A configuration that was tried before is replaced by
    an evenly spread point.
    """

    def __init__(self, record: StudyRecord) -> None:
        self._record = record
        self._history = _History(record, begin=0)

    def propose(
        self, configurations: Sequence[Sequence[FrozenTrial]], *, ordinal: int
    ) -> dict[str, Scalar]:
        """Return the parameters of configuration number `ordinal`.

        `configurations` holds the trials of each earlier configuration, first repeat first: one
        entry per earlier ordinal, unless some cannot be read. Each call must pass all of them
        again, followed by the new ones.
        """
        record, n = self._record, len(configurations)
        begin = max(0, (n // _MOST_SEEN - 1) * _MOST_SEEN)
        # A search of an older version may have no window: then all results are known.
        n_known = max(begin, n - max(1, record.window) + 1)
        firsts = (trials[0] for trials in configurations[begin:n_known])
        n_complete = sum(first.state == TrialState.COMPLETE for first in firsts)
        is_start = ordinal < START_UP or n_complete < _LEAST_COMPLETE
        tried = [trials[0].user_attrs["params"] for trials in configurations]
        if record.sampler == "qmc" or (is_start and record.sampler != "random"):
            return self._new_point(tried, ordinal)
        name = "tpe" if record.sampler == "gp" and ordinal >= _MOST_BY_GP else record.sampler
        if begin != self._history.begin:
            self._history = _History(record, begin=begin)
        self._history.update(configurations, n_known)
        params = self._history.ask(make_sampler(name, seed=record.seed, ordinal=ordinal))
        return self._new_point(tried, ordinal) if params in tried else params

    def _new_point(self, tried: Sequence[Mapping[str, Scalar]], ordinal: int) -> dict[str, Scalar]:
        """Return an evenly spread point that was not tried, or after some attempts any."""
        record, places = self._record, range(ordinal, ordinal + _MOST_POINTS * _FAR, _FAR)
        points = (spread(record.space, seed=record.seed, first=i, n=1)[0] for i in places)
        new = next((point for point in points if point not in tried), None)
        return new or spread(record.space, seed=record.seed, first=ordinal, n=1)[0]


class _History:
    """The input of a sampler: a study in memory with one trial per configuration, from `begin` on.

    It is reused for the next proposals, because creating a thousand trials takes as long as a
    training.
    """

    def __init__(self, record: StudyRecord, *, begin: int) -> None:
        self.begin = begin
        self._record = record
        self._storage = InMemoryStorage()
        direction = record.score.kind.direction
        self._study = optuna.create_study(storage=self._storage, direction=direction)
        self._ids: list[int] = []
        self._n_known = begin
        self._domains = search_distributions(record.space)
        # The Gaussian process knows the order of whole numbers, but not that of choices.
        self._ordered = {
            p.name: p.labels
            for p in record.space.search
            if record.sampler == "gp" and isinstance(p, Choices) and p.is_ordered
        }
        for name, choices in self._ordered.items():
            self._domains[name] = IntDistribution(0, len(choices) - 1)

    def update(self, configurations: Sequence[Sequence[FrozenTrial]], n_known: int) -> None:
        """Add the new configurations as running, and the results of the first `n_known`."""
        for trials in configurations[self.begin + len(self._ids) :]:
            params = spaces.filled(self._record.space, trials[0].user_attrs["params"])
            params |= {name: own.index(params[name]) for name, own in self._ordered.items()}
            trial = create_trial(
                state=TrialState.RUNNING, params=params, distributions=self._domains
            )
            self._ids.append(self._storage.create_new_trial(self._study._study_id, trial))
        for index in range(self._n_known, n_known):
            self._tell(self._ids[index - self.begin], configurations[index])
        self._n_known = n_known

    def _tell(self, trial_id: int, trials: Sequence[FrozenTrial]) -> None:
        """Add the result: the mean over the repeats, or the score at which it was pruned."""
        first, values, state = trials[0], None, TrialState.FAIL
        if first.state == TrialState.COMPLETE:
            scores = [t.value for t in trials if t.state == first.state and t.value is not None]
            values, state = [fmean(scores)], first.state
        elif first.state == TrialState.PRUNED and first.last_step is not None:
            score, state = first.intermediate_values[first.last_step], first.state
            if self._record.sampler == "gp" and not math.isnan(score):
                # It ignores pruned trials, and would go on proposing similar ones.
                values, state = [score], TrialState.COMPLETE
            self._storage.set_trial_intermediate_value(trial_id, first.last_step, score)
        self._storage.set_trial_state_values(trial_id, state, values)

    def ask(self, sampler: BaseSampler) -> dict[str, Scalar]:
        """Return the proposal of a sampler."""
        self._study.sampler = sampler
        # More threads would use ten times the processor time here, while the cores are training.
        with threadpool_limits(1):
            trial = self._study.ask(self._domains)
        self._study.tell(trial, state=TrialState.FAIL)
        places = {name: own[trial.params[name]] for name, own in self._ordered.items()}
        return spaces.active(self._record.space, trial.params | places)


def is_behind(score: Score, scores: Iterable[float], limit: float | None) -> bool:
    """Whether the best score so far misses the limit."""
    if limit is None:
        return False
    ranks = [score.rank(value) for value in scores if not math.isnan(value)]
    return not ranks or max(ranks) < score.rank(limit)


def median_limits(earlier: Iterable[FrozenTrial], epochs: int) -> Limits:
    """Return the median by epoch, from a third of the base's `epochs` on.

    `earlier` are the complete first repeats of the known configurations. There is no median for
    fewer than five.
    """
    curves = [trial.intermediate_values for trial in earlier]
    if len(curves) < _LEAST_CURVES:
        return {}
    by_epoch: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in curve.items():
            if epoch >= max(1, epochs // 3) and not math.isnan(value):
                by_epoch.setdefault(epoch, []).append(value)
    return {epoch: median(values) for epoch, values in by_epoch.items()}
