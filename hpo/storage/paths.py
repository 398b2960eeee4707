"""The paths of files, all next to the database of the studies."""

import contextlib
import hashlib
import os
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hpo.files import WrittenFiles, at_home, remove_leftovers, writing
from hpo.storage.runs import is_digest
from hpo.storage.url import sqlite_path

_LONGEST_NAME: Final = 120
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
# Reserved names: folders of hpo, files of SQLite, and devices of Windows.
_RESERVED: Final = re.compile(
    r"runs|artifacts|results|.*\.db-(wal|shm|journal)|(con|prn|aux|nul|(com|lpt)[0-9])(\..*)?",
    re.IGNORECASE,
)


def is_folder_name(name: str) -> bool:
    """Whether a folder next to the database can safely have this name."""
    return bool(_NAME.fullmatch(name)) and not _RESERVED.fullmatch(name)


def runs_folder(storage_url: str) -> Path:
    """Return the folder of the run store: `HPO_RUNS`, or `runs` next to the storage."""
    folder = os.environ.get("HPO_RUNS")
    return at_home(folder) if folder else _home(storage_url) / "runs"


def study_folder(storage_url: str, name: str) -> Path:
    """Return the folder of a study: its page, weights and exports.

    A study name of another program that is not a valid folder name is shortened.
    """
    return _home(storage_url) / _folder_name(name)


def comparison_page(storage_url: str, names: Sequence[str]) -> Path:
    """Return the path of the page of a comparison; many long names are shortened."""
    name = "-".join(map(_folder_name, names))
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return _home(storage_url) / f"compare-{name}.html"


def other_owner(storage_url: str, name: str) -> Path | None:
    """Return another SQLite database with a study of this name, whose folder is the same."""
    own, query = sqlite_path(storage_url), "SELECT 1 FROM studies WHERE study_name = ?"
    for path in _home(storage_url).glob("*"):
        if not path.is_file() or (own and path.samefile(own)):
            continue
        address = f"{path.resolve().as_uri()}?mode=ro"
        with (
            contextlib.suppress(sqlite3.Error),  # It is no database, or one of another program.
            contextlib.closing(sqlite3.connect(address, uri=True)) as connection,
        ):
            if connection.execute(query, (name,)).fetchone():
                return path
    return None


def clear_study_folder(folder: Path) -> None:
    """Remove the files that hpo wrote into the folder of a study, and the folder if empty.

    The user's own files and the targets of links are not removed.

    Raises:
        OutputError: a file cannot be removed.
    """
    page, weights, export = (folder / name for name in ("report.html", "weights", "export"))
    hint = "The study is deleted from the database: remove this folder yourself."
    with writing(folder, hint=hint):
        for place in () if folder.is_symlink() else (weights, export, folder):
            if place.is_symlink() or not place.is_dir():
                continue
            remove_leftovers(place)
            WrittenFiles(place).remove()
            for path in place.iterdir():
                is_kept = path.suffix == ".safetensors" and is_digest(path.stem)
                if path == page or (place == weights and is_kept):
                    path.unlink()
            with contextlib.suppress(OSError):
                place.rmdir()


def _folder_name(name: str) -> str:
    if is_folder_name(name):
        return name
    # The plus avoids collisions with unchanged names, which contain none.
    digest = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:60] + f"+{digest}"


def _home(storage_url: str) -> Path:
    path = sqlite_path(storage_url)
    return Path("studies") if path is None else path.parent
