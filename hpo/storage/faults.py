"""What database libraries say of a fault, and what that means to the user."""

from collections.abc import Collection
from typing import Final

BUSY_TIMEOUT_S: Final = 60.0
"""How long a command waits for another program that holds a lock."""

CORRUPT: Final = (
    "is corrupt. Move it away and run the same command again: what the run store holds is not "
    "trained again."
)
LOOK_S: Final = 20.0
"""How long a look at the tables of a database may take."""

DELETED: Final = (
    "no longer holds this study: another program deleted it meanwhile. What the run store holds "
    "is kept: run the same command again to make it anew."
)
_OTHER_TABLES: Final = (
    "has other tables than Optuna makes: it was changed, or is of another version. --storage "
    "names another database."
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
    "can't reconnect": _UNREACHED.replace("{}", "the connection ended"),
    "were matched": DELETED,
    "foreign key": DELETED,
    "has been deleted": DELETED,
    "no such table": _OTHER_TABLES,
    "no such column": _OTHER_TABLES,
    "has no column": _OTHER_TABLES,
    'relation "': _OTHER_TABLES,
    'column "': _OTHER_TABLES,
    "too big": "holds a value too large to be read. --storage names another database.",
    "interrupted": f"takes more than {LOOK_S:.0f} s to open. --storage names another database.",
}
"""By what a database library says, the first that fits: what it means and what to do."""


def reason_of(error: BaseException, secrets: Collection[str]) -> str:
    """Return what is wrong and what to do, to stand behind the URL of the database.

    What a library says is quoted unless one of the secrets stands in it.
    """
    root = _root_cause(error)
    text = str(root).strip().partition("\n")[0]
    quoted = text.rstrip(".")
    if any(secret in text for secret in secrets):
        quoted = "its text holds the password and is not shown"
    elif type(root).__module__.startswith(("sqlalchemy", "optuna")):
        quoted = type(root).__name__
    for sign, reason in _REASONS.items():
        if sign in text.lower():
            return reason.replace("{}", quoted)
    return (
        f"gave an error ({quoted}). What is finished is kept: run the same command again, or name "
        "another database with --storage."
    )


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
