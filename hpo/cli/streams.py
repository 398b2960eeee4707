"""Standard input and output that may be closed, full or in any encoding."""

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, Final, TextIO, cast

_MISSING: Final = (
    (0, "stdin", "r", os.O_RDONLY),
    (1, "stdout", "w", os.O_RDONLY),  # Whatever is written fails, as it should.
    (2, "stderr", "w", os.O_WRONLY),
)
# Where an encoding lacks a sign, one of the same width: tables stay straight.
_PLAIN: Final = {"\xa0": " ", "–": "-", "−": "-", "…": ".", "×": "x"}  # noqa: RUF001


def _write_plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    sign = error.object[error.start]
    escaped = sign.encode("ascii", "backslashreplace").decode()
    return _PLAIN.get(sign, escaped), error.start + 1


codecs.register_error("hpo-plain", _write_plainly)


class Output:
    """A text stream whose failures do not stop the work; `failure` keeps the first."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="hpo-plain")

    def write(self, text: str) -> int:
        """Write a text; a failure is kept, not raised."""
        if self.failure is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream; a failure is kept, not raised."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or error
        # Python writes what is left of it as it ends, which would fail once more.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextlib.contextmanager
def outputs() -> Iterator[Output]:
    """Put an Output in the place of both streams; yield that of standard output."""
    _open_missing()
    out, err = Output(sys.stdout), Output(sys.stderr)
    with (
        contextlib.redirect_stdout(cast(TextIO, out)),
        contextlib.redirect_stderr(cast(TextIO, err)),
    ):
        yield out
        out.flush()
        err.flush()


def _open_missing() -> None:
    """Open what was closed from the start: a file of the study would get its number."""
    for number, name, mode, flags in _MISSING:
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, flags), number)
                os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
