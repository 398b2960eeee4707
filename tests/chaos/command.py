"""`python -m tests.chaos.command …`: the command line on an engine that trains nothing.

An epoch takes CHAOS_EPOCH_S seconds.
"""

import os
import time
from typing import Final

from hpo.cli import main
from hpo.run import session
from hpo.training.engine import LaneEpoch
from tests.clocked import ClockedStack

EPOCH_S: Final = float(os.environ.get("CHAOS_EPOCH_S", "0"))


class SlowStack(ClockedStack):
    """A stack that takes its time."""

    def step(self) -> list[LaneEpoch]:
        time.sleep(EPOCH_S)
        return super().step()


if __name__ == "__main__":
    session.open_stack = lambda *_args, **_options: SlowStack()  # type: ignore[attr-defined]
    main()
