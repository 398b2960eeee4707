"""The run store: one file per finished training, so that nothing is trained twice.

A file is named by everything that determines the numbers. It is written under a temporary name and
then renamed, so existing files are complete.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeGuard

from pydantic import TypeAdapter

from hpo.config import TrainingConfig
from hpo.errors import RunStoreError
from hpo.files import read_json, write_atomic, writing
from hpo.training.engine import BATTERY_VERSION, NUMERICS_VERSION, Run

FORMAT: Final = 1

_MAX_BYTES: Final = 2_000_000_000
"""The most bytes of a file: the largest data sets, with very many classes, need 1 GB."""
_DIGEST: Final = re.compile(r"[0-9a-f]{32}")

_HINT: Final = "Make room, or set HPO_RUNS to another folder, then run the same command again."


def is_digest(name: object) -> TypeGuard[str]:
    """Whether this can be the name of a run, because a tampered record may contain any path."""
    return isinstance(name, str) and _DIGEST.fullmatch(name) is not None


@dataclass(frozen=True, kw_only=True)
class RunKey:
    """Everything that determines the numbers of one training."""

    config: TrainingConfig
    seed: int
    fold: int
    fingerprint: str
    device_type: str
    precision: str

    def to_document(self) -> dict[str, Any]:
        """Return the key as plain data, without the fields that have no effect."""
        config = json.loads(self.config.identity())
        return {**vars(self), "config": config, "numerics": NUMERICS_VERSION}

    def digest(self) -> str:
        """Return the name of this training in the store."""
        return key_digest(self.to_document())


def key_digest(key: Mapping[str, Any]) -> str:
    """Return the name of the training with this key, as plain data."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


_RUN: Final = TypeAdapter(Run)


@dataclass(frozen=True)
class RunStore:
    """The folder of finished trainings."""

    folder: Path

    def path(self, key: RunKey) -> Path:
        """Return the path of the file of this training."""
        return self.folder / f"{key.digest()}.json"

    def check_writable(self) -> None:
        """Create the folder and test writing to it, before anything is trained.

        Raises:
            OutputError: the folder cannot be written, or the disk is full.
        """
        with writing(self.folder, hint=_HINT):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(b"hpo")

    def has(self, key: RunKey) -> bool:
        """Whether this training was finished before; its file is not read."""
        try:
            return self.path(key).is_file()
        except OSError:  # An unreadable folder counts as empty.
            return False

    def read(self, digest: str | None) -> Run | None:
        """Return a training by the name recorded in its trial, None if it has none.

        A file that is unreadable, truncated or from another version counts as missing: the
        training runs again and the file is replaced.

        Raises:
            RunStoreError: there is too little memory to read it.
        """
        if not is_digest(digest):
            return None
        path = self.folder / f"{digest}.json"
        try:
            status = path.stat()
            return _read(path, status.st_mtime_ns, status.st_size)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        except MemoryError:
            raise RunStoreError(
                f"There is too little memory to read {path}. Close other programs, or raise the "
                "memory limit (ulimit -v), then run the same command again."
            ) from None

    def save(self, key: RunKey, run: Run) -> None:
        """Write the file of a finished training.

        Raises:
            OutputError: the folder cannot be written, or the disk is full.
        """
        document = {"format": FORMAT, "key": key.to_document(), **_RUN.dump_python(run)}
        for epoch in document["epochs"]:
            if not epoch["stress"]:
                del epoch["stress"]
        document["battery"] = BATTERY_VERSION
        content = json.dumps(document, separators=(",", ":")).encode()
        write_atomic(self.path(key), content, hint=_HINT)


@lru_cache(maxsize=500)
def _read(path: Path, _time: int, _size: int) -> Run | None:
    """Read a file of the store, cached because each part of a page reads the same files."""
    document = read_json(path, most=_MAX_BYTES)
    if document["format"] != FORMAT or key_digest(document["key"]) != path.stem:
        return None
    if document.get("battery") != BATTERY_VERSION:
        # Results of another battery are ignored.
        for stressed in (document, *document["epochs"]):
            stressed["stress"] = {}
    run = _RUN.validate_python(document)
    images = run.validation_images
    answers = [
        one
        for of in (run, run.other)
        if of
        for one in (*of.validation_probabilities, *of.test_probabilities)
    ]
    n_classes = {len(one) for one in answers if isinstance(one, tuple)}
    probabilities = (p for one in answers for p in (one if isinstance(one, tuple) else (one,)))
    n_of_each = {len(run.validation_labels), len(run.validation_patients), len(images)}
    is_whole = (
        1 <= run.kept_epoch <= len(run.epochs)
        and len(n_of_each) == 1
        and len(n_classes) <= 1
        and len(set(images)) == len(images)
        and not any(p < 0 or p > 1 for p in probabilities)  # NaN is neither: it diverged.
    )
    return run if is_whole else None
