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
_SECRET: Final = re.compile(r"pass(?!file)|secret|token|scram", re.IGNORECASE)
# A password of libpq, as in `host=h password=x`, anywhere.
_IN_TEXT: Final = re.compile(
    r"(?:pass(?!file)|secret|token|scram)\w*\s*=(?!\*\*\*)", re.IGNORECASE
)
# The text before a password, the password, and the text after it, in a valid URL.
_URL: Final = re.compile(
    r"([^:/?#@]*://[^:/?#@]*)(:[^/?#@]*(?=@))?"
    r"(@?(?:[\w.-]*|\[[\da-fA-F:.]+\])(?::\d*)?(?:/[^?#@]*)?(?:\?[^#@]*)?)"
)


def mask(url: str) -> str:
    """Return a storage URL with its passwords hidden, or entirely hidden if misspelled."""
    if url.startswith("sqlite:///"):
        return url

    def hide(match: re.Match[str]) -> str:
        return f"{match[1]}={_HIDDEN}" if _SECRET.search(_plain(match[1])) else match[0]

    shown, sign = _OPTION.sub(hide, url), "://" in url
    if parts := _URL.fullmatch(shown):
        shown = parts[1] + f":{_HIDDEN}" * bool(parts[2]) + parts[3]
    is_unclear = not parts and (sign or ":" in url.rpartition("@")[0])
    if is_unclear or _IN_TEXT.search(_plain(shown)):
        return f"{url.partition('://')[0]}://{_HIDDEN}" if sign else _HIDDEN
    return shown


def secrets_of(url: str) -> set[str]:
    """Return the passwords of a URL, as written and decoded."""
    user = url.partition("://")[2].rpartition("@")[0]
    secrets = {user.partition(":")[2]}
    secrets |= {value for name, value in _OPTION.findall(url) if _SECRET.search(_plain(name))}
    return {form for secret in secrets for form in (secret, unquote(secret)) if form}


def storage_option(url: str) -> str:
    """Return ` --storage URL` as needed in a printed command, "" for the default storage."""
    return f" --storage {shlex.quote(mask(url))}" if is_needed(url) else ""


def is_needed(url: str) -> bool:
    """Whether a command needs --storage to use this storage: it is not the default one."""
    return not url == DEFAULT_URL == default_storage()


def default_storage() -> str:
    """Return the URL that a command without --storage uses."""
    return os.environ.get("HPO_STORAGE") or DEFAULT_URL


def named(study: str, url: str) -> str:
    """Return `STUDY --storage URL` as needed in a printed command, quoted for a shell."""
    return f"{shlex.quote(study)}{storage_option(url)}"


def set_option(command: str, option: str, value: str | None) -> str:
    """Return a command line with another value of an option, added if absent; None removes it."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    places = [i for i, word in enumerate(words) if word.partition("=")[0] == option]
    if value is None and not places:
        return command
    new = [] if value is None else [option, value]
    for place in reversed(places):
        words[place : place + 1 + ("=" not in words[place])] = new
    return shlex.join(words if places else words + new)


def mask_command(command: str) -> str:
    """Return a command line with the passwords of its URLs hidden."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    masked = [mask(word) for word in words]
    return command if masked == words else shlex.join(masked)


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL, None for other URLs."""
    if not url.startswith("sqlite:///") or ":memory:" in url:
        return None
    name = url.removeprefix("sqlite:///").partition("?")[0]
    return at_home(name) if name else None


def backend_of(url: str) -> str:
    """Return `sqlite` or `postgresql`.

    Raises:
        UsageError: the URL is of neither kind, or a character of its password must be escaped.
    """
    backend, sign, place = url.partition("://")
    backend = backend.partition("+")[0]
    if not sign or backend not in {"sqlite", "postgresql"}:
        is_file = not sign and url.strip() and not set(url) & {":", "@"} and mask(url) == url
        hint = f" For a file, write sqlite:///{url}." if is_file else ""
        hint = " Write postgresql:// instead." if backend == "postgres" else hint
        raise UsageError(
            f"--storage takes sqlite:///FILE or postgresql://USER@HOST/DATABASE, but got "
            f"{mask(url)!r}.{hint}"
        )
    if backend == "postgresql" and "@" in place.rpartition("@")[0].partition(":")[2]:
        raise UsageError(f"{mask(url)!r}: write an @ in a password as %40.")
    return backend


def _plain(text: str) -> str:
    """Return a text without escapes, even if they were escaped twice."""
    while (plain := unquote(text)) != text:
        text = plain
    return text
