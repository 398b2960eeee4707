"""A worker that sleeps instead of training, for `benchmarks.ray_scaling`.

Its process loads neither torch nor hpo beyond records: 64 of them fit into a small machine.
"""

import random
import time
from typing import Any, Final

import numpy as np

from tests.clocked import ClockedStack

EPOCH_S: Final = 0.58
_WEIGHTS: Final = {"1.weight": np.zeros((64, 256 * 256), np.float32)}


class Sleeper:
    """A worker of the pool that sleeps: one lane after another, as on a core."""

    def __init__(self, *_: object, **__: object) -> None:
        self.stack, self.names = ClockedStack(), dict[int, int]()

    def answer(self, name: str, *arguments: Any) -> Any:
        """Answer like `hpo.training.pool.Worker`."""
        if name == "facts":
            return {}, "Clock", 1 << 40
        for number, config, seed, fold, *_ in arguments[0]:
            self.names[self.stack.add(config, seed=seed, fold=fold)] = number
        time.sleep(sum(EPOCH_S * pace(self.names[lane]) for lane in self.stack.lanes))
        done = self.stack.step()
        epochs = [one._replace(lane=self.names[one.lane]) for one in done]
        ended = {one.lane for one in done} - set(self.stack.lanes)
        results = {lane: self.stack.result(lane) for lane in ended}
        for result in results.values():
            result.weights.update(_WEIGHTS)
        return epochs, {self.names[lane]: result for lane, result in results.items()}


def pace(number: int) -> float:
    """Return the duration of a training relative to the others."""
    return random.Random(number).uniform(0.7, 1.3)
