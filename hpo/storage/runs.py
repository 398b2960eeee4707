"""The run store: one file per finished training, so that nothing is trained twice.

A file is named by everything that decides the numbers. It is written to a temporary name and then
renamed, so a file that is there is whole.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeGuard

from hpo.config import TrainingConfig
from hpo.errors import RunStoreError
from hpo.files import read_json, write_whole, writing
from hpo.training.numerics import BATTERY_VERSION, NUMERICS_VERSION

FORMAT: Final = 1

_MAX_BYTES: Final = 50_000_000
_DIGEST: Final = re.compile(r"[0-9a-f]{32}")

_WAY_OUT: Final = "Make room, or set HPO_RUNS to another folder, then run the same command again."


def is_digest(name: object) -> TypeGuard[str]:
    """Whether this may name a run: a record that was tampered with must not lead elsewhere."""
    return isinstance(name, str) and _DIGEST.fullmatch(name) is not None


@dataclass(frozen=True, kw_only=True)
class RunKey:
    """Everything that decides the numbers of one training."""

    config: TrainingConfig
    seed: int
    fold: int
    fingerprint: str
    device_type: str
    precision: str

    def to_document(self) -> dict[str, Any]:
        """Return the key as plain data, without the fields that have no effect."""
        return {
            "config": json.loads(self.config.identity()),
            "seed": self.seed,
            "fold": self.fold,
            "fingerprint": self.fingerprint,
            "device_type": self.device_type,
            "precision": self.precision,
            "numerics": NUMERICS_VERSION,
        }

    def digest(self) -> str:
        """Return the name of this training in the store."""
        text = json.dumps(self.to_document(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch of a recorded training, as the curves need it.

    `stress` is the mean over the stress battery, empty where it was not measured.
    """

    learning_rate: float
    train: dict[str, float]
    validation: dict[str, float]
    stress: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished training: metrics of every epoch and probabilities per image.

    `train` is measured with the kept weights in evaluation mode. Probabilities are those of
    pneumonia; the validation ones in the order of the fold, the test ones in the data set's.
    `stress` holds the validation metrics under each change of the stress battery, measured with
    the kept weights where the study asked for it.
    """

    epochs: tuple[Epoch, ...]
    kept_epoch: int
    train: dict[str, float]
    validation_probabilities: tuple[float, ...]
    test_probabilities: tuple[float, ...]
    seconds: float
    versions: dict[str, str]
    stress: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def kept(self) -> Epoch:
        """The epoch whose weights were kept."""
        return self.epochs[self.kept_epoch - 1]


@dataclass(frozen=True)
class RunStore:
    """The folder of finished trainings."""

    folder: Path

    def path(self, key: RunKey) -> Path:
        """Return where the file of this training is, or would be."""
        return self.folder / f"{key.digest()}.json"

    def check_writable(self) -> None:
        """Make the folder and try to write there, before anything is trained in vain.

        Raises:
            OutputError: the folder cannot be written, or the disk is full.
        """
        with writing(self.folder, way_out=_WAY_OUT):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(b"hpo")

    def has(self, key: RunKey) -> bool:
        """Whether this training was finished before; its file is not read."""
        try:
            return self.path(key).is_file()
        except OSError:  # A folder that may not be looked into holds nothing.
            return False

    def find(self, key: RunKey) -> Run | None:
        """Return the training if it was finished before.

        A file that cannot be read, is cut short or comes from another version counts as absent:
        the training is done again and the file replaced.
        """
        return self.read(key.digest())

    def read(self, digest: str) -> Run | None:
        """Return a training by the name its trial has on record, or None as `find` does.

        Raises:
            RunStoreError: there is too little memory to read it.
        """
        if not is_digest(digest):
            return None
        path = self.folder / f"{digest}.json"
        try:
            document = read_json(path, most=_MAX_BYTES)
            return _from_document(document) if document["format"] == FORMAT else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None
        except MemoryError:
            raise RunStoreError(
                f"There is too little memory to read {path}. End other programs, or raise the "
                "limit of memory (ulimit -v), then run the same command again."
            ) from None

    def save(self, key: RunKey, run: Run) -> None:
        """Write the file of a finished training.

        Raises:
            OutputError: the folder cannot be written, or the disk is full.
        """
        document = {"format": FORMAT, "key": key.to_document()} | _to_document(run)
        content = json.dumps(document, separators=(",", ":")).encode()
        write_whole(self.path(key), content, way_out=_WAY_OUT)


def _to_document(run: Run) -> dict[str, Any]:
    return {
        "epochs": [
            {"learning_rate": e.learning_rate, "train": e.train, "validation": e.validation}
            | ({"stress": e.stress} if e.stress else {})
            for e in run.epochs
        ],
        "kept_epoch": run.kept_epoch,
        "train": run.train,
        "validation_probabilities": run.validation_probabilities,
        "test_probabilities": run.test_probabilities,
        "seconds": run.seconds,
        "versions": run.versions,
        "stress": run.stress,
        "battery": BATTERY_VERSION,
    }


def _from_document(document: Mapping[str, Any]) -> Run:
    # What was measured under another battery is left out: it counts as not measured.
    is_comparable = document.get("battery") == BATTERY_VERSION
    stress = document["stress"] if is_comparable else {}
    run = Run(
        epochs=tuple(_epoch(epoch, is_comparable=is_comparable) for epoch in document["epochs"]),
        kept_epoch=int(document["kept_epoch"]),
        train=_metrics(document["train"]),
        validation_probabilities=_numbers(document["validation_probabilities"]),
        test_probabilities=_numbers(document["test_probabilities"]),
        seconds=float(document["seconds"]),
        versions={str(name): str(version) for name, version in document["versions"].items()},
        stress={name: _metrics(found) for name, found in stress.items()},
    )
    if not 1 <= run.kept_epoch <= len(run.epochs):
        raise ValueError("kept_epoch is not among the epochs")
    return run


def _epoch(document: Mapping[str, Any], *, is_comparable: bool) -> Epoch:
    (learning_rate,) = _numbers([document["learning_rate"]])
    return Epoch(
        learning_rate=learning_rate,
        train=_metrics(document["train"]),
        validation=_metrics(document["validation"]),
        stress=_metrics(document.get("stress", {})) if is_comparable else {},
    )


def _metrics(document: Mapping[str, Any]) -> dict[str, float]:
    return dict(zip(document, _numbers(list(document.values())), strict=True))


def _numbers(values: list[Any]) -> tuple[float, ...]:
    """Return values as they are, if all of them are numbers.

    Raises:
        TypeError: one is not.
    """
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise TypeError("these are no numbers")
    return tuple(values)
