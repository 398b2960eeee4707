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
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from hpo import cores
from hpo.search.owners import Owner, read_owner, this_process

LEASE_S: Final = 60.0
_RENEWED_EVERY_S: Final = 10.0
_PREFIX: Final = "hpo:lease:"


class Lease:
    """This process's lease on a study: renewed by a thread until it is closed.

    It names the cores that this process trains on: those that no other lease of this machine
    names, or where there are none, all that it has.
    """

    def __init__(self, study: optuna.Study, turn: Callable[[], AbstractContextManager[None]]):
        self._study = study
        self._turn = turn
        self._before = cores.available()
        self._cores = self._before
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> "Lease":
        with self._turn():
            self._cores = (self._before - self._taken()) or self._before
            cores.use(self._cores)
            self._write(0)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        cores.use(self._before)
        with contextlib.suppress(Exception):  # It is over anyway, as soon as the process is.
            self._write(None)

    def _renew(self) -> None:
        n_renewed = 0
        while not self._is_over.wait(_RENEWED_EVERY_S):
            n_renewed += 1
            # A database that is busy or gone is met by the training itself, which explains it.
            with contextlib.suppress(Exception):
                self._write(n_renewed)

    def _write(self, n_renewed: int | None) -> None:
        lease = {"n_renewed": n_renewed, "cores": sorted(self._cores)}
        name = _PREFIX + this_process().name
        self._study._storage.set_study_system_attr(
            self._study._study_id, name, lease | {"owner": this_process().to_attribute()}
        )

    def _taken(self) -> set[int]:
        """Return the cores that other living processes of this machine train on."""
        taken: set[int] = set()
        for lease in _leases(self._study).values():
            owner = read_owner(lease.get("owner"))
            if owner and owner.is_here and owner != this_process() and not owner.has_ended:
                taken |= set(lease["cores"]) if lease["n_renewed"] is not None else set()
        return taken


@dataclass
class Watch:
    """Looks after the trials that run, and puts back those that nobody trains any more."""

    study: optuna.Study
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[object, float]] = field(default_factory=dict)

    def put_back(self, *, own: bool = False) -> int:
        """Put back every trial whose process has ended; return how many there were.

        With `own`, those of this process too: it has begun nothing yet, and an earlier call could
        not put them back.

        Call it in turn with other processes (`hpo.turns`): a trial that is being taken has no
        owner yet.
        """
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        owners = {trial.number: read_owner(trial.user_attrs.get("owner")) for trial in running}
        is_far = any(owner and not owner.is_here for owner in owners.values())
        leases = _leases(self.study) if is_far else {}
        mine = [this_process()] if own else []
        stale = [
            trial
            for trial in running
            if (owner := owners[trial.number]) in mine or self._is_stale(owner, leases)
        ]
        for trial in stale:
            put_back(self.study, trial)
        return len(stale)

    def n_of_others(self) -> int:
        """Return how many trials of the study other processes train."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        me = this_process()
        return sum(read_owner(trial.user_attrs.get("owner")) != me for trial in running)

    def _is_stale(self, owner: Owner | None, leases: dict[str, Any]) -> bool:
        if owner is None or owner.is_here:
            return owner is None or owner.has_ended
        now, lease = self.clock(), leases.get(owner.name)
        before, since = self._seen.setdefault(owner.name, (lease, now))
        if lease != before:
            self._seen[owner.name] = (lease, now)
            return False
        return now - since >= LEASE_S


def _leases(study: optuna.Study) -> dict[str, dict[str, Any]]:
    """Return every lease on record, by the name of its owner."""
    attributes = study._storage.get_study_system_attrs(study._study_id)
    return {
        name.removeprefix(_PREFIX): lease
        for name, lease in attributes.items()
        if name.startswith(_PREFIX) and isinstance(lease, dict)
    }


def put_back(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> None:
    """Let a running trial wait again; the numbers it has reported will be the same."""
    with contextlib.suppress(UpdateFinishedTrialError):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
