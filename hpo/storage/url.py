"""URLs of the database of studies, read without the database libraries."""

import os
import re
import shlex
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from hpo.errors import UsageError
from hpo.files import at_home

DEFAULT_URL: Final = "sqlite:///studies/hpo.db"

_HIDDEN: Final = "***"
_OPTION: Final = re.compile(r"(?<=[?&])([^=&]*)=([^&]*)")
_SECRET_OPTION: Final = re.compile(r"pass(?!file)|secret|token|scram", re.IGNORECASE)
_IN_DSN: Final = re.compile(
    r"(\w*(?:pass(?!file)|secret|token)\w*\s*=\s*)('(?:[^'\\]|\\.)*'?|\S+)", re.IGNORECASE
)
"""A password of libpq in `host=… password=…`, its value perhaps in quotes."""

_NO_PORT: Final = re.compile(r"^((?:\[[^\]]*\]|[^:/?#\[])*):(?!\d*(?:[/?#]|$)).*", re.DOTALL)
_LONGEST_PATH: Final = 4_000
_LONGEST_NAME: Final = 255


def mask(url: str) -> str:
    """Return a storage URL with its passwords hidden, however it is misspelled.

    Of an invalid URL more than the password may be hidden, never less.
    """

    def hide(match: re.Match[str]) -> str:
        is_secret = _is_secret(match[1]) or _IN_DSN.search(_plain(match[2]))
        return f"{match[1]}={_HIDDEN}" if is_secret else match[0]

    url = _OPTION.sub(hide, url)
    head, sign, options = url.partition("?") if "://" in url else (url, "", "")
    if not url.startswith("sqlite:") and _IN_DSN.search(_plain(head)):
        url = _IN_DSN.sub(rf"\1{_HIDDEN}", _plain(head)) + sign + options
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


def secrets_of(url: str) -> set[str]:
    """Return the passwords of a URL, as they stand there and as they are meant."""
    user = url.partition("://")[2].rpartition("@")[0]
    found = {user.partition(":")[2], *(v for name, v in _OPTION.findall(url) if _is_secret(name))}
    found |= {match[2].strip("'") for match in _IN_DSN.finditer(unquote(url))}
    return {form for secret in found for form in (secret, unquote(secret)) if form}


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
    masked = [mask(word) for word in words]
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
    name = str(at_home(name)) if name else name
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
        UsageError: the URL is of neither kind, or a character of its password needs an escape.
    """
    backend, sign, place = url.partition("://")
    backend = backend.partition("+")[0]
    if not sign or backend not in {"sqlite", "postgresql"}:
        is_file = not sign and url.strip() and not set(url) & {":", "@"} and mask(url) == url
        hint = f" For a file, write sqlite:///{url}." if is_file else ""
        raise UsageError(
            f"--storage takes sqlite:///FILE or postgresql://USER@HOST/DATABASE, but got "
            f"{mask(url)!r}.{hint}"
        )
    if backend == "postgresql" and "@" in place.rpartition("@")[0].partition(":")[2]:
        raise UsageError(f"{mask(url)!r}: write an @ in a password as %40.")
    return backend


def _is_secret(option: str) -> bool:
    return bool(_SECRET_OPTION.search(_plain(option)))


def _plain(text: str) -> str:
    """Return a text without its escapes, also where they were escaped again."""
    while (plain := unquote(text)) != text:
        text = plain
    return text
