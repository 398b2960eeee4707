"""Random input for every reader: one message or a result, in time, and no code is run.

This is the short form; `make rubbish` gives 100,000 pieces and writes the outcomes.
"""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks.rubbish import of_weights
from benchmarks.rubbish.attempts import attempt
from benchmarks.rubbish.readers import READERS

SHARE = 0.01


@pytest.mark.parametrize("name", READERS)
def test_random_input_is_answered_with_one_message(
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
    if name == "exported folders":  # An undamaged one is read.
        of_weights.read_exported(tmp_path, json.dumps(of_weights.config()).encode())
