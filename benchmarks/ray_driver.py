"""How many actors of a Ray cluster one driver keeps busy: `python -m benchmarks.ray_driver`.

A grid of trainings of 30 epochs goes through the training loop with a stack that trains in no
time and hands back weights of the size of the reports' networks. Counted are the processor's
seconds of the driver (asking, reporting, telling, storing), which other load does not change much.
An actor takes 30 x 0.58 s for a training (stack.json). What Ray itself takes is not in it.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.machine import describe_machine
from hpo.run import session as sessions
from hpo.run.plan import Settings, plan_grid
from hpo.run.session import open_session, training_events
from hpo.training.engine import TrainingResult
from tests.clocked import ClockedStack
from tests.conftest import make_xrays

RESULT: Final = Path(__file__).parent / "results" / "ray_driver.json"
_EPOCHS: Final = 30
_EPOCH_S: Final = 0.58
_SHARE: Final = 0.03


class Sized(ClockedStack):
    """Hands back weights of 256 x 256 x 64 and two further layers."""

    weights: Final = {"1.weight": np.zeros((64, 256 * 256), np.float32)}

    def result(self, lane: int) -> TrainingResult:
        return replace(super().result(lane), weights=self.weights)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray_driver", description=__doc__)
    parser.add_argument("--trainings", type=int, default=640)
    n = parser.parse_args().trainings
    sessions.open_stack = lambda *_args, **_options: Sized()  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as name:
        data = make_xrays(Path(name))
        settings = Settings(
            data=data,
            set={"image_size": 16},
            values={"dropout": ",".join(f"{i / 200}" for i in range(n // 20))},
            repeats=20,
            epochs=_EPOCHS,
            storage=f"sqlite:///{name}/hpo.db",
            lanes=256,
        )
        with open_session(plan_grid(["dropout"], settings)) as session:
            started, laps = time.process_time(), []
            for event in training_events(session):
                if type(event).__name__ == "TrialDone":
                    laps.append(time.process_time() - started)
    each = laps[-1] / len(laps)
    quarters = [laps[(i + 1) * n // 4 - 1] - (laps[i * n // 4 - 1] if i else 0) for i in range(4)]
    training = _EPOCHS * _EPOCH_S
    result = {
        "what": __doc__,
        "machine": describe_machine(),
        "n_trainings": n,
        "cpu_seconds_a_training": round(each, 4),
        "by_quarter": [round(4 * seconds / n, 4) for seconds in quarters],
        "share_of_driver_at_64_actors": round(64 * each / training, 3),
        "actors_at_3_percent": round(_SHARE * training / each, 1),
        "actors_at_100_percent": round(training / each),
    }
    print(json.dumps(result, indent=1))
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
