"""Rubbish for the readers of hpo's own records, perhaps from another version."""

import contextlib
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rubbish.of_data import archive, noise, npy_bytes
from benchmarks.rubbish.of_texts import use_space
from hpo import space as spaces
from hpo.data.source import open_data
from hpo.storage.opening import open_storage
from hpo.storage.runs import RunStore
from hpo.training.engine import Run

_DIGEST = "0" * 32


def read_record(_: Path, document: object) -> None:
    use_space(spaces.from_document(document))


def run() -> dict[str, Any]:
    epoch = {"learning_rate": 0.1, "train": {"loss": 0.5}, "validation": {"accuracy": 0.9}}
    return {
        "format": 1,
        "key": {},
        "epochs": [epoch, epoch],
        "kept_epoch": 1,
        "train": {"accuracy": 0.9},
        "validation_probabilities": [0.1, 0.9],
        "test_probabilities": [0.5],
        "seconds": 1.5,
        "versions": {"torch": "2"},
        "validation_images": [3, 7],
        "validation_labels": [0, 1],
        "validation_patients": [1, 1],
    }


def read_run(folder: Path, content: bytes) -> None:
    (folder / f"{_DIGEST}.json").write_bytes(content)
    run = RunStore(folder).read(_DIGEST)
    if run is None:
        return
    assert isinstance(run, Run)
    numbers = [*run.train.values(), *run.validation_probabilities, *run.test_probabilities]
    numbers += [v for e in run.epochs for v in (*e.train.values(), *e.validation.values())]
    assert all(type(number) in (int, float) for number in numbers)
    assert run.kept in run.epochs


def read_cached(folder: Path, content: bytes) -> None:
    """A cache may hold anything: the result must be that of the images."""
    cache = folder / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPO_CACHE", str(cache))
        data = folder / "x.npz"
        if not data.exists():
            data.write_bytes(archive())
            open_data(data).pixels_at(8)
        kept = sorted((cache / "pixels").iterdir()) + sorted((cache / "index").iterdir())
        kept[len(content) % len(kept)].write_bytes(content)
        assert open_data(data).pixels_at(8).shape == (12, 8, 8)


def cache_seeds() -> list[bytes]:
    return [npy_bytes(noise(3)), b'{"sizes": [[9, 9]], "digests": ["0"]}']


def database_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path, whole = Path(folder) / "hpo.db", Path(folder) / "whole.db"
        open_storage(f"sqlite:///{path}").engine.dispose()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("VACUUM INTO ?", (str(whole),))
        return [whole.read_bytes()]


def read_database(folder: Path, content: bytes) -> None:
    for left in folder.glob("hpo.db*"):
        left.unlink()
    (folder / "hpo.db").write_bytes(content)
    opened = open_storage(f"sqlite:///{folder / 'hpo.db'}", create=False, busy_timeout_s=0.1)
    opened.remove_session()
    opened.engine.dispose()
