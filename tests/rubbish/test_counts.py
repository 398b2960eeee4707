"""The long runs of rubbish say what became of it."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from hypothesis import strategies as st

from benchmarks import fuzz
from hpo.errors import DataError
from tests.rubbish.attempts import Reader
from tests.rubbish.counts import Count, as_row, attempt_and_count, surroundings


def _answer(_: Path, rubbish: object) -> None:
    if rubbish == "refused":
        raise DataError("That is no image.")
    if rubbish == "wrong":
        raise KeyError(rubbish)
    while rubbish == "endless":
        pass


def test_what_became_of_rubbish_is_counted_and_failures_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.rubbish.attempts.HANG_S", 0.1)
    monkeypatch.setenv("HPO_CACHE", os.devnull)
    count, reader = Count(), Reader(st.none(), _answer, 1)
    before = Path.cwd()
    with surroundings() as folder:
        for rubbish in ("read", "refused", "refused", "wrong", "endless"):
            attempt_and_count(count, reader, folder, rubbish)
    row = as_row(count)
    assert Path.cwd() == before
    assert row["n"] == 5
    assert row["n_read"] == 1
    assert row["n_messages"] == 2
    assert row["n_tracebacks"] == 1
    assert row["n_hangs"] == 1
    assert row["failures"] == ["KeyError: 'wrong': 'wrong'", "Hang: : 'endless'"]


def test_fuzzing_without_atheris_says_in_a_line_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["fuzz"])
    with pytest.raises(SystemExit) as end:
        fuzz.main()
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install atheris" in line
