"""Trials whose process ended without a word are told failed; what they trained is missing."""

import os
import socket
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.search.job import trials_in


def owner() -> dict[str, Any]:
    """Return what identifies this process: host, number, and when it started."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}


def recover(study: optuna.Study) -> int:
    """Tell trials of dead processes of this machine failed, and return how many there were."""
    stale = [trial for trial in trials_in(study, TrialState.RUNNING) if _is_stale(trial)]
    for trial in stale:
        cut_off(study, trial, reason="its process ended before it did.")
    return len(stale)


def cut_off(study: optuna.Study, trial: FrozenTrial | optuna.Trial, *, reason: str) -> None:
    """Tell a running trial failed through no fault of its configuration.

    The sources find its job missing and hand it out again.
    """
    # Trial.set_user_attr is for the process that asked; another one has to go by the storage.
    for name, value in {"reason": reason, "was_cut_off": True}.items():
        study._storage.set_trial_user_attr(trial._trial_id, name, value)
    study.tell(trial.number, state=TrialState.FAIL)


def _is_stale(trial: FrozenTrial) -> bool:
    """Whether the process that runs this trial is gone; a trial of another machine never is."""
    mark = trial.user_attrs.get("owner")
    if mark is None:
        return True
    if mark["host"] != socket.gethostname():
        return False
    return _started(mark["pid"]) != str(mark["started"])


def _started(pid: int) -> str:
    """Return when a process started, "" where there is none (or no /proc: then if it lives)."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[19]
    except OSError:
        pass
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except OSError:
        return ""
    return "alive"
