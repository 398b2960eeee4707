"""URLs of the database of studies, read without the database libraries."""

import re
import shlex
from pathlib import Path
from typing import Final

from hpo.errors import UsageError

DEFAULT_URL: Final = "sqlite:///studies/hpo.db"


def mask(url: str) -> str:
    """Return a storage URL with its password hidden."""
    return re.sub(r"(://[^:/@]*:)[^@]*(@)", r"\1***\2", url)


def storage_option(url: str) -> str:
    """Return ` --storage URL` as a printed command needs it, "" for the default storage."""
    return "" if url == DEFAULT_URL else f" --storage {shlex.quote(mask(url))}"


def mask_command(command: str) -> str:
    """Return a command line with the passwords of its URLs hidden."""
    return re.sub(r"\S+://\S+", lambda match: mask(match.group()), command)


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL, None for every other URL."""
    if not url.startswith("sqlite:///") or ":memory:" in url:
        return None
    name = url.removeprefix("sqlite:///").partition("?")[0]
    return Path(name) if name else None


def backend_of(url: str) -> str:
    """Return `sqlite` or `postgresql`.

    Raises:
        UsageError: the URL is of neither kind.
    """
    backend = url.partition("://")[0].partition("+")[0]
    if "://" not in url or backend not in {"sqlite", "postgresql"}:
        hint = f" For a file, write sqlite:///{url}." if "://" not in url else ""
        raise UsageError(
            f"--storage takes sqlite:///FILE or postgresql://USER@HOST/DATABASE, but got "
            f"{mask(url)!r}.{hint}"
        )
    return backend
