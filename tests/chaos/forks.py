"""Work in a copy of this process."""

import os
import sys
import traceback
from collections.abc import Callable


def fork(work: Callable[[], None]) -> int:
    """Start work in a copy of this process, which ends with it; return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait(child: int) -> int:
    """Wait for the end of a process; return its exit code, and below 0 the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
