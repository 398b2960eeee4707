"""What counts as the time of a training: not what is done once for all of them."""

import time
from typing import Any

import pytest

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import cohort
from hpo.training import stack as engine
from hpo.training.device import Device
from hpo.training.stack import open_stack

CONFIG = TrainingConfig(image_size=16, hidden=(8,), batch_size=16, epochs=1)
START_UP = 1000.0


def test_what_is_done_once_is_no_time_of_the_training_that_comes_first(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def slow_at_first(target: Any, name: str) -> None:
        original, is_first = getattr(target, name), [True]

        def slow(*arguments: Any, **options: Any) -> Any:
            clock[0] += START_UP if is_first.pop() else 1.0
            is_first.append(False)
            return original(*arguments, **options)

        monkeypatch.setattr(target, name, slow)

    slow_at_first(engine.Images, "place")
    slow_at_first(cohort, "_train_step")
    stack = open_stack(data, device=cpu, joins=False)
    seconds = []
    for _ in range(2):
        lane = stack.add(CONFIG, seed=0, fold=0)
        stack.step()
        seconds.append(stack.result(lane).seconds)
    assert seconds[0] == seconds[1] < START_UP
