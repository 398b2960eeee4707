"""All errors, by kind, with the exit codes of the command line.

Every message ends with advice.
"""

import re
from collections.abc import Collection
from typing import Any, Final


class HpoError(Exception):
    """A failure that is shown to the user as one message, without a traceback."""

    exit_code = 1

    @property
    def kind(self) -> str:
        """The name of this error in JSON: `OutOfMemoryError` is `out_of_memory`."""
        return re.sub("(?<!^)(?=[A-Z])", "_", type(self).__name__.removesuffix("Error")).lower()


class UsageError(HpoError):
    """Wrong usage."""

    exit_code = 2


class ConfigError(UsageError):
    """A hyperparameter that does not exist or is out of bounds."""

    @property
    def faults(self) -> list[str]:
        """The individual faults, without the summary line."""
        return [line.strip().removeprefix("- ") for line in str(self).splitlines()[1:]]


class SpaceError(UsageError):
    """A space file that cannot be read or does not make sense."""


class ModelError(UsageError):
    """A custom network that cannot be used: its file, signature or output."""


class DataError(HpoError):
    """Images, labels or folders that cannot be used."""


class DeviceError(HpoError):
    """A device that is not available."""


class OutOfMemoryError(DeviceError):
    """Too little memory on a device."""


class TrainingError(HpoError):
    """A training that cannot be carried out."""


class WeightsError(HpoError):
    """A file of weights or its network that cannot be read."""


class RunStoreError(HpoError):
    """A file of the run store that is missing or cannot be read."""


class Interrupted(HpoError):
    """Ctrl-C; the message says how to continue."""

    exit_code = 130


class OutputError(HpoError):
    """A file that cannot be written."""


class StorageError(HpoError):
    """A database that cannot be opened, read or written."""


class StudyError(HpoError):
    """A study that is missing, or that does not fit the request."""


NO_MEMORY: Final = (
    "There is not enough memory, or no further thread or process is allowed. Use --lanes 1, "
    "smaller images or a smaller network, or raise the limit (ulimit -v, ulimit -u)."
)
_REFUSALS: Final = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "failed to map segment",
    "can't start new thread",
    "resource temporarily unavailable",
)


def lacks_memory(error: BaseException) -> bool:
    """Whether the system refused memory, a thread or a process, in most cases by the message."""
    if isinstance(error, MemoryError):
        return True
    is_refusal = isinstance(error, OSError | RuntimeError | ImportError)
    return is_refusal and any(words in str(error).lower() for words in _REFUSALS)


def fault_list(summary: str, faults: list[str]) -> str:
    """Join several faults into one message: a summary line, then one line per fault."""
    return "\n".join([summary, *(f"  - {fault}" for fault in faults)])


def either(names: Collection[str]) -> str:
    """Join alternatives: `auto, bf16 or fp32`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def first_fault(error: Any) -> str:
    """Return the first fault of a pydantic `ValidationError`: the field and what is wrong."""
    fault = error.errors(include_url=False)[0]
    place, wrong = ".".join(map(str, fault["loc"])), fault["msg"]
    return f"{place}: {wrong}" if place else wrong
