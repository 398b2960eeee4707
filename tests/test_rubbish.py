"""Generated rubbish for every reader: one message or a result, in time, and nothing is run.

Here in short; `make rubbish` gives 100,000 pieces and writes what came of them.
"""

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.rubbish import of_weights
from benchmarks.rubbish.attempts import Hang, Reader, attempt
from benchmarks.rubbish.readers import READERS
from hpo.errors import DataError

SHARE = 0.01


@pytest.mark.parametrize("name", READERS)
def test_rubbish_is_answered_with_one_message(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = READERS[name]
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")

    @settings(
        max_examples=round(SHARE * reader.n),
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(reader.rubbish)
    def read(rubbish: object) -> None:
        attempt(reader, tmp_path, rubbish)

    read()
    if name == "exported folders":  # Without damage it is read.
        of_weights.read_exported(tmp_path, json.dumps(of_weights.config()).encode())


def _read(folder: Path, rubbish: object) -> None:
    if rubbish == "refused":
        raise DataError("That is no image.")
    if rubbish == "wrong":
        raise KeyError(rubbish)
    if rubbish == "explode":
        (folder / "exploded").mkdir()
    if rubbish == "leave":
        (folder.parent / "left").mkdir()
    if rubbish == "wait":
        os.mkfifo(folder / "pipe")
        (folder / "pipe").read_bytes()
    with contextlib.suppress(Exception) if rubbish == "hide" else contextlib.nullcontext():
        while rubbish in {"work", "hide"}:
            pass


READER = Reader(st.none(), _read, 1)


@pytest.mark.parametrize(
    ("rubbish", "failure"),
    [
        ("explode", AssertionError),
        ("leave", AssertionError),
        ("wrong", KeyError),
        ("work", Hang),
        ("wait", Hang),
        ("hide", Hang),
    ],
)
def test_a_reader_that_fails_is_noticed(
    rubbish: str, failure: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.rubbish.attempts.HANG_S", 0.1)
    with pytest.raises(failure):
        attempt(READER, tmp_path, rubbish)
