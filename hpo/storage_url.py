"""URLs of the database of studies, read without the database libraries."""

import os
import re
import shlex
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from hpo.errors import UsageError

DEFAULT_URL: Final = "sqlite:///studies/hpo.db"

_HIDDEN: Final = "***"
_OPTION: Final = re.compile(r"(?<=[?&])([^=&]*)=([^&]*)")
_SECRET_OPTION: Final = re.compile(r"pass|secret|token|scram", re.IGNORECASE)
_NO_PORT: Final = re.compile(r"^((?:\[[^\]]*\]|[^:/?#\[])*):(?!\d*(?:[/?#]|$)).*", re.DOTALL)
_LONGEST_PATH: Final = 4_000
_LONGEST_NAME: Final = 255


def mask(url: str) -> str:
    """Return a storage URL with its passwords hidden, however it is misspelled.

    Of a URL that is none, more is hidden than a password, never less.
    """
    url = _OPTION.sub(_mask_option, url)
    scheme, sign, place = url.rpartition("://") if "://" in url else ("", "", url)
    if scheme.startswith("sqlite") and place.startswith("/"):
        return url
    user, at, host = place.rpartition("@")
    if at:
        name, colon, _ = user.partition(":")
        place = f"{name}:{_HIDDEN}@{host}" if colon else place
    elif sign:
        place = _NO_PORT.sub(rf"\1:{_HIDDEN}", place)
    return f"{scheme}{sign}{place}"


def conceal(text: str, url: str) -> str:
    """Return what a database library said of a URL without the passwords of the URL."""
    password = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    options = [value for name, value in _OPTION.findall(url) if _is_secret(name)]
    for secret in filter(None, [password, *options]):
        text = text.replace(secret, _HIDDEN).replace(unquote(secret), _HIDDEN)
    return text


def storage_option(url: str) -> str:
    """Return ` --storage URL` as a printed command needs it, "" for the default storage."""
    is_default = url == DEFAULT_URL == (os.environ.get("HPO_STORAGE") or DEFAULT_URL)
    return "" if is_default else f" --storage {shlex.quote(mask(url))}"


def named(study: str, url: str) -> str:
    """Return `STUDY --storage URL` as a printed command needs it: a shell takes it as it is."""
    return f"{shlex.quote(study)}{storage_option(url)}"


def mask_command(command: str) -> str:
    """Return a command line with the passwords of its URLs hidden."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    masked = [mask(word) if "://" in word or "@" in word else word for word in words]
    for word, hidden in zip(words, masked, strict=True):
        if word not in command and word != hidden:
            return shlex.join(masked)  # Quotes stand within the password.
        command = command.replace(word, hidden) if word != hidden else command
    return command


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL, None for every other URL.

    Raises:
        UsageError: no file can have such a name.
    """
    if not url.startswith("sqlite:///") or ":memory:" in url:
        return None
    name = url.removeprefix("sqlite:///").partition("?")[0]
    longest = max(len(os.fsencode(part)) for part in name.split("/"))
    if len(os.fsencode(name)) > _LONGEST_PATH or longest > _LONGEST_NAME or "\0" in name:
        raise UsageError(
            f"--storage takes sqlite:///FILE, but no file can be called {name[:60]!r}…: choose a "
            "shorter name."
        )
    return Path(name) if name else None


def backend_of(url: str) -> str:
    """Return `sqlite` or `postgresql`.

    Raises:
        UsageError: the URL is of neither kind, or a sign in its password needs an escape.
    """
    backend, sign, place = url.partition("://")
    backend = backend.partition("+")[0]
    if not sign or backend not in {"sqlite", "postgresql"}:
        is_file = not sign and url.strip() and not set(url) & {":", "@"}
        hint = f" For a file, write sqlite:///{url}." if is_file else ""
        raise UsageError(
            f"--storage takes sqlite:///FILE or postgresql://USER@HOST/DATABASE, but got "
            f"{mask(url)!r}.{hint}"
        )
    if backend == "postgresql" and "@" in place.rpartition("@")[0].partition(":")[2]:
        raise UsageError(f"{mask(url)!r}: write an @ in a password as %40.")
    return backend


def _mask_option(match: re.Match[str]) -> str:
    return f"{match[1]}={_HIDDEN}" if _is_secret(match[1]) else match[0]


def _is_secret(option: str) -> bool:
    return bool(_SECRET_OPTION.search(unquote(option)))
