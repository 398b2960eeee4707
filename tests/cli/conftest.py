"""Shared by the tests of commands: a finished grid, and the check of an error."""

import io
import signal
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path

import pytest

from hpo.cli import main
from tests.conftest import SMALL, Answer, Hpo, copy_study, make_xrays

VALUES = ("grid", "--param", "batch_size", "--values", "8,16")
GRID = (*VALUES, "--repeats", "2", *SMALL)
DIVERGING = (
    *("grid", "--param", "learning_rate", "--values", "0.001,10", "--repeats", "1"),
    *("--set", "optimizer=sgd", "--set", "normalize=none", "--set", "batch_norm=false"),
    *("--set", "image_size=16", "--set", "hidden=64-64-64", "--epochs", "3"),
)
OUT_OF_TIME = ("--timeout", "0.000001")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a finished grid called mine, and its document."""
    home, out = tmp_path_factory.mktemp("trained"), io.StringIO()
    line = ["hpo", *GRID, "--data", str(make_xrays(home)), "--study", "mine", "--json"]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), suppress(SystemExit):
        patch.chdir(home)
        patch.setattr(sys, "argv", line)
        main()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return home, out.getvalue()


@pytest.fixture
def mine(trained: tuple[Path, str], hpo: Hpo, tmp_path: Path) -> Answer:
    """A copy of the finished grid in the folder of the test: its document."""
    assert hpo
    home, out = trained
    copy_study(home, tmp_path)
    return Answer(0, out.replace(str(home), str(tmp_path)), "")


def assert_error(answer: Answer, code: int, *words: str) -> None:
    """Check an error: its exit code, no traceback, and one message with these words."""
    assert answer.code == code, answer
    assert "Traceback" not in answer.err
    text = " ".join(answer.err.split())
    assert text.count("Error: ") <= 1
    for word in words:
        assert word in text, text
