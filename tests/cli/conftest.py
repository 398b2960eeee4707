"""What tests of commands share: a finished grid, and the check of an error."""

from pathlib import Path

import pytest

from tests.conftest import SMALL, Answer, Hpo

VALUES = ("grid", "--param", "batch_size", "--values", "8,16")
GRID = (*VALUES, "--repeats", "2", *SMALL)
DIVERGING = (
    *("grid", "--param", "learning_rate", "--values", "0.001,10", "--repeats", "1"),
    *("--set", "optimizer=sgd", "--set", "normalize=none", "--set", "batch_norm=false"),
    *("--set", "image_size=16", "--set", "hidden=64-64-64", "--epochs", "3"),
)
OUT_OF_TIME = ("--timeout", "0.000001")


@pytest.fixture
def mine(hpo: Hpo, xrays: Path) -> Answer:
    """A finished grid called mine: its document."""
    answer = hpo(*GRID, "--data", xrays, "--study", "mine", "--json")
    assert answer.code == 0, answer.err
    return answer


def said(answer: Answer, code: int, *words: str) -> None:
    """Check an error: its code, no traceback, and what must be in its one message."""
    assert answer.code == code, answer
    assert "Traceback" not in answer.err
    text = " ".join(answer.err.split())
    assert text.count("Error: ") <= 1
    for word in words:
        assert word in text, text
