"""What database libraries say of a fault, and what that means to the user."""

from typing import Final

BUSY_TIMEOUT_S: Final = 60.0
"""How long a command waits for another program that holds a lock."""

CORRUPT: Final = (
    "is corrupt. Move it away and run the same command again: what the run store holds is not "
    "trained again."
)
_LOCKED: Final = (
    f"is locked by another program for more than {BUSY_TIMEOUT_S:.0f} s. What is finished is "
    "kept: end that program, then run the same command again."
)
_READ_ONLY: Final = (
    "is read-only. Give yourself the right to write it, or name another with --storage."
)
_FULL: Final = (
    "cannot be written: the disk is full. What is finished is kept: make room, then run the same "
    "command again."
)
_REFUSED: Final = "refuses this user or password. Correct them in --storage or HPO_STORAGE."
_UNREACHED: Final = (
    "cannot be reached: {}. What is finished is kept: start the server, or correct its host and "
    "port in --storage, then run the same command again."
)

_REASONS: Final = {
    "foreign key": "no longer holds this study: another program deleted it meanwhile. What the "
    "run store holds is kept: run the same command again to make it anew.",
    "lock timeout": _LOCKED,
    "locked": _LOCKED,
    "readonly": _READ_ONLY,
    "read-only": _READ_ONLY,
    "unable to open": "cannot be opened: its folder is missing or cannot be written, which SQLite "
    "needs even to read. Copy the folder to where you may write, or name another database with "
    "--storage.",
    "not a database": "is no SQLite database. Move it away or name another with --storage.",
    "malformed": CORRUPT,
    "disk is full": _FULL,
    "no space left": _FULL,
    "disk i/o": "cannot be read or written (disk I/O error): its disk is full or broken. What is "
    "finished is kept: make room or mend it, then run the same command again.",
    "authentication failed": _REFUSED,
    "no password supplied": _REFUSED,
    'role "': _REFUSED,
    "permission denied": "gives this user no right to write. Grant it, or name another with "
    "--storage.",
    'fatal:  database "': "is not there. Make it (createdb DATABASE), or name another with "
    "--storage.",
    "failed to resolve": _UNREACHED,
    "connection": _UNREACHED,
}
"""By what a database library says, the first that fits: what it means and what to do."""


def reason_of(error: BaseException) -> str:
    """Return what is wrong and what to do, to stand behind the URL of the database."""
    text = str(_root_cause(error)).strip().partition("\n")[0]
    for sign, reason in _REASONS.items():
        if sign in text.lower():
            return reason.replace("{}", text)
    return f"cannot be used: {text}. --storage names another database."


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
