"""Trials whose process has ended go back to where they wait, as if they had not been begun.

On the machine of a process its number and its start say whether it lives; one that lives is never
robbed, however long it is silent. Of a process elsewhere only its lease is seen, a number in the
study that it raises every few seconds. No clocks are compared: a lease is over when it stood still
for a minute while somebody looked.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from hpo.search.owners import Owner, read_owner, this_process

LEASE_S: Final = 60.0
_RENEWED_EVERY_S: Final = 10.0
_PREFIX: Final = "hpo:lease:"


class Lease:
    """This process's lease on the trials of a study: renewed by a thread until it is closed."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._name = _PREFIX + this_process().name
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _renew(self) -> None:
        n_renewed = 0
        while not self._is_over.is_set():
            n_renewed += 1
            # A database that is busy or gone is met by the training itself, which explains it.
            with contextlib.suppress(Exception):
                self._study._storage.set_study_system_attr(
                    self._study._study_id, self._name, n_renewed
                )
            self._is_over.wait(_RENEWED_EVERY_S)


@dataclass
class Watch:
    """Looks after the trials that run, and puts back those that nobody trains any more."""

    study: optuna.Study
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[object, float]] = field(default_factory=dict)

    def put_back(self) -> int:
        """Put back every trial whose process has ended; return how many there were.

        Call it in turn with other processes (`hpo.turns`): a trial that is being taken has no
        owner yet.
        """
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        owners = {trial.number: read_owner(trial.user_attrs.get("owner")) for trial in running}
        leases: dict[str, Any] = {}
        if any(owner and not owner.is_here for owner in owners.values()):
            leases = self.study._storage.get_study_system_attrs(self.study._study_id)
        stale = [t for t in running if self._is_stale(owners[t.number], leases)]
        for trial in stale:
            put_back(self.study, trial)
        return len(stale)

    def sees_others(self) -> bool:
        """Whether another process trains a trial of the study."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        me = this_process()
        return any(read_owner(trial.user_attrs.get("owner")) != me for trial in running)

    def _is_stale(self, owner: Owner | None, leases: dict[str, Any]) -> bool:
        if owner is None or owner.is_here:
            return owner is None or owner.has_ended
        now, lease = self.clock(), leases.get(_PREFIX + owner.name)
        before, since = self._seen.setdefault(owner.name, (lease, now))
        if lease != before:
            self._seen[owner.name] = (lease, now)
            return False
        return now - since >= LEASE_S


def put_back(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> None:
    """Let a running trial wait again; the numbers it has reported will be the same."""
    with contextlib.suppress(UpdateFinishedTrialError):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
