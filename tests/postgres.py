"""A PostgreSQL server for tests, in a temporary folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

USER: Final = "hpo"
PASSWORD: Final = "s3cret-in-tests"

# Test databases are small and many, and need not survive a crash.
_SETTINGS: Final = (
    "listen_addresses=''",
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=16MB",
    "max_connections=50",
)


def programs() -> Path | None:
    """Return the folder of initdb and pg_ctl, None if PostgreSQL is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "pg_ctl").exists()), None)


@dataclass
class Server:
    """A running server that accepts connections on a socket in its folder, with a password."""

    folder: Path
    programs: Path
    n_databases: int = 0

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        self.n_databases += 1
        name = f"test_{self.n_databases}"
        self._call("createdb", "-h", str(self.folder), "-U", USER, name)
        return f"postgresql+psycopg://{USER}:{PASSWORD}@/{name}?host={self.folder}"

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        settings = " ".join(f"-c {setting}" for setting in _SETTINGS)
        options = f"-k {self.folder} {settings}"
        self._control("start", "-w", "-o", options, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        """Stop it at once, whoever is connected."""
        self._control("stop", "-w", "-m", "immediate")

    def _control(self, *arguments: str) -> None:
        self._call("pg_ctl", "-D", str(self.folder / "data"), "-t", "120", *arguments)

    def _call(self, program: str, *arguments: str) -> None:
        """Call a program of PostgreSQL, as another user if this is root, which it refuses."""
        user = _other_user()
        subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PGPASSWORD": PASSWORD},
            stdout=subprocess.DEVNULL,  # The server inherits it: a pipe would never end.
            check=True,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )

    def make(self) -> None:
        """Make its files, owned by the user it runs as."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if user := _other_user():
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            os.chown(secret, user.pw_uid, user.pw_gid)
        # The encoding of minimal containers, which have no locale.
        self._call(
            *("initdb", "-D", str(self.folder / "data"), "-U", USER, "--no-sync"),
            *("--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=SQL_ASCII"),
        )


@contextmanager
def running(programs: Path) -> Iterator[Server]:
    """Run a new server, and remove it at the end."""
    # Not in pytest's folder: the path of a socket is limited to about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="hpo-postgres-", dir="/tmp") as folder:
        server = Server(Path(folder), programs)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _other_user() -> pwd.struct_passwd | None:
    """Return the user for programs that refuse root; None if this is not root."""
    if os.getuid() != 0:
        return None
    users = {user.pw_name: user for user in pwd.getpwall()}
    return users.get("postgres") or users["nobody"]
