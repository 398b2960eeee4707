"""What other programs do to a study meanwhile: locks, damage, a clock that is set back."""

import datetime
import sqlite3
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_YEAR_S = 365 * 24 * 3600


@dataclass(frozen=True)
class Impatience:
    """A process that waits for a lock no longer than this."""

    seconds: float

    def __call__(self) -> None:
        connect = sqlite3.connect

        def connected(path: Path, **options: object) -> sqlite3.Connection:
            return connect(path, **(options | {"timeout": self.seconds}))  # type: ignore[arg-type]

        sqlite3.connect = connected  # type: ignore[assignment]


@dataclass(frozen=True)
class ClockSetBack:
    """A process whose clock is a year behind that of those before it."""

    def __call__(self) -> None:
        now = time.time

        class Late(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> "Late":
                return cls.fromtimestamp(now() - _YEAR_S, tz)

        time.time = lambda: now() - _YEAR_S
        real = datetime.datetime
        for name, module in list(sys.modules.items()):
            if name.startswith(("hpo", "optuna")) and getattr(module, "datetime", None) is real:
                module.datetime = Late  # type: ignore[attr-defined]


def pages(database: Path) -> int:
    """Return the number of pages, all of them in the file of the database itself."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (n_pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    return int(n_pages)


def damage(database: Path, page: int, content: bytes) -> None:
    """Overwrite a page, counted from 1."""
    with sqlite3.connect(database) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write((content * size)[:size])
