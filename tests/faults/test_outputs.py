"""Outputs that are closed, full or in any encoding, and a lack of memory."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.studies import Study
from tests.processes import assert_error

SHOW = ("show", "mine")


def in_shell(study: Study, redirection: str, *words: str, **environment: str) -> Any:
    """Run a command in a shell that redirects its input and outputs."""
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
def test_a_closed_or_full_output_causes_no_traceback(
    trained: Study, redirection: str, code: int, message: bytes
) -> None:
    done = in_shell(trained, redirection, *SHOW)
    assert done.returncode == code
    assert done.stderr.startswith(message)
    assert done.stderr.count(b"\n") == bool(message)


def with_full_outputs() -> None:
    """Send both outputs of this process to a full device."""
    for number in (1, 2):
        os.dup2(os.open("/dev/full", os.O_WRONLY), number)


def test_a_study_finishes_although_its_outputs_are_full(study: Study, undisturbed: Any) -> None:
    assert study.train(fault=with_full_outputs).code == 1
    assert study.shown() == undisturbed
    assert (study.home / "mine" / "report.html").exists()


def test_output_works_in_any_encoding(trained: Study) -> None:
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = in_shell(trained, "", *SHOW, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"+-----" in done.stdout
    assert b"\\u" not in done.stdout
    done = in_shell(trained, "", *SHOW, "--json", **environment)
    assert json.loads(done.stdout)["study"] == "mine"


@dataclass(frozen=True)
class OutOfMemory:
    """A process that runs out of memory when it reads the run store."""

    error: Exception

    def __call__(self) -> None:
        from hpo.storage.runs import RunStore

        def find(*_: object) -> None:
            raise self.error

        RunStore.read = find  # type: ignore[method-assign,assignment]


def test_a_lack_of_memory_gives_one_message(study: Study) -> None:
    answer = study.train(fault=OutOfMemory(RuntimeError("can't start new thread")))
    assert_error(answer, "There is not enough memory", "--lanes 1")
    assert study.train().code == 0
