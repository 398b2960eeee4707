"""Everything that can go wrong, as a tree. Every message ends with what to do.

HpoError                 failed: exit code 1
├── UsageError           wrong usage: exit code 2
│   ├── ConfigError      a hyperparameter that does not exist or is out of bounds
│   └── SpaceError       a space file that cannot be read or does not make sense
├── DataError            images, labels or folders that cannot be used
├── DeviceError          a device that is not available
│   └── OutOfMemoryError too little memory on it
├── TrainingError        a training that cannot be carried out
├── WeightsError         a file of weights or its network that cannot be read
├── RunStoreError        a file of the run store that is missing or cannot be read
├── Interrupted          Ctrl-C; says what continues: exit code 130
├── OutputError          a file that cannot be written
├── StorageError         a database that cannot be opened, read or written
└── StudyError           a study that is missing, or that does not fit the request
"""

import re
from typing import Any, Final


class HpoError(Exception):
    """A failure that is explained to the user in one message, without a traceback."""

    exit_code = 1

    @property
    def kind(self) -> str:
        """The name of this error in JSON: `OutOfMemoryError` is `out_of_memory`."""
        return re.sub("(?<!^)(?=[A-Z])", "_", type(self).__name__.removesuffix("Error")).lower()


class UsageError(HpoError):
    exit_code = 2


class ConfigError(UsageError):
    @property
    def faults(self) -> list[str]:
        """The single faults, without the line that introduces them."""
        return [line.strip().removeprefix("- ") for line in str(self).splitlines()[1:]]


class SpaceError(UsageError):
    pass


class DataError(HpoError):
    pass


class DeviceError(HpoError):
    pass


class OutOfMemoryError(DeviceError):
    pass


class TrainingError(HpoError):
    pass


class WeightsError(HpoError):
    pass


class RunStoreError(HpoError):
    pass


class Interrupted(HpoError):
    exit_code = 130


class OutputError(HpoError):
    pass


class StorageError(HpoError):
    pass


class StudyError(HpoError):
    pass


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
    """Whether the system refused memory, a thread or a process; most errors say so by text."""
    if isinstance(error, MemoryError):
        return True
    is_refusal = isinstance(error, OSError | RuntimeError | ImportError)
    return is_refusal and any(words in str(error).lower() for words in _REFUSALS)


def fault_list(summary: str, faults: list[str]) -> str:
    """Join several faults into one message: a summary line, then one line per fault."""
    return "\n".join([summary, *(f"  - {fault}" for fault in faults)])


def first_fault(error: Any) -> str:
    """Return the first fault of a pydantic `ValidationError`: the field and what is wrong."""
    fault = error.errors(include_url=False)[0]
    place, wrong = ".".join(map(str, fault["loc"])), fault["msg"]
    return f"{place}: {wrong}" if place else wrong
