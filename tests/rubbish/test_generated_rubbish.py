"""Generated rubbish for every reader: one message or a result, in time, and nothing is run.

Here in short; `make rubbish` gives 100,000 pieces and writes what came of them.
"""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rubbish import of_weights
from tests.rubbish.attempts import Hang, Reader, attempt
from tests.rubbish.readers import READERS

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


def test_an_exported_folder_without_damage_is_read(tmp_path: Path) -> None:
    content = json.dumps(of_weights.config()).encode()
    of_weights.read_exported(tmp_path, content)


def _explode(folder: Path, _: object) -> None:
    (folder / "exploded").mkdir()


def _leave(folder: Path, _: object) -> None:
    (folder.parent / "left").mkdir()


def _stumble(_: Path, __: object) -> None:
    raise KeyError("x")


def _work(_: Path, __: object) -> None:
    while True:
        pass


def _wait(folder: Path, _: object) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "pipe").read_bytes()


def _hide(_: Path, __: object) -> None:
    with contextlib.suppress(Exception):
        while True:
            pass


@pytest.mark.parametrize(
    ("read", "failure"),
    [
        (_explode, AssertionError),
        (_leave, AssertionError),
        (_stumble, KeyError),
        (_work, Hang),
        (_wait, Hang),
        (_hide, Hang),
    ],
)
def test_a_reader_that_fails_is_noticed(
    read: Callable[[Path, object], object],
    failure: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.rubbish.attempts.HANG_S", 0.1)
    with pytest.raises(failure):
        attempt(Reader(st.none(), read, 1), tmp_path, None)
