"""Outputs that are closed, full or in any encoding, and a system that gives no more memory."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.studies import Study
from tests.processes import said

SHOW = ("show", "mine")


def in_shell(study: Study, redirection: str, *words: str, **environment: str) -> Any:
    """Run a command as a shell does that redirects its input and outputs."""
    script = "from hpo.cli import main; main()"
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-P", "-c", script, *words],
        cwd=study.folder,
        env=os.environ | environment,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("redirection", "code", "message"),
    [
        (">&-", 1, b"Error: Cannot write the output: Bad file descriptor."),
        (">/dev/full", 1, b"Error: Cannot write the output: No space left on device."),
        (">&- 2>&- <&-", 1, b""),
        ("| true; exit 0", 0, b""),
    ],
)
def test_an_output_that_takes_nothing_ends_no_command_in_a_traceback(
    trained: Study, redirection: str, code: int, message: bytes
) -> None:
    done = in_shell(trained, redirection, *SHOW)
    assert done.returncode == code
    assert done.stderr.startswith(message)
    assert done.stderr.count(b"\n") == bool(message)


def with_full_outputs() -> None:
    """Let nothing be said by this process."""
    for number in (1, 2):
        os.dup2(os.open("/dev/full", os.O_WRONLY), number)


def test_a_study_goes_on_to_its_end_where_nothing_can_be_said(
    study: Study, undisturbed: Any
) -> None:
    assert study.train(fault=with_full_outputs).code == 1
    assert study.shown() == undisturbed
    assert (study.home / "mine" / "report.html").exists()


def test_any_encoding_takes_what_is_said(trained: Study) -> None:
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = in_shell(trained, "", *SHOW, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"+-----" in done.stdout
    assert b"\\u" not in done.stdout
    done = in_shell(trained, "", *SHOW, "--json", **environment)
    assert json.loads(done.stdout)["study"] == "mine"


@dataclass(frozen=True)
class Refusing:
    """A process that is refused memory where it looks into the run store."""

    error: Exception

    def __call__(self) -> None:
        from hpo.storage.runs import RunStore

        def find(*_: object) -> None:
            raise self.error

        RunStore.read = find  # type: ignore[method-assign,assignment]


def test_memory_that_the_system_refuses_is_one_message(study: Study) -> None:
    answer = study.train(fault=Refusing(RuntimeError("can't start new thread")))
    said(answer, "There is not enough memory", "--lanes 1")
    assert study.train().code == 0
