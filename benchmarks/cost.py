"""The cost of an epoch by configuration: the source of the figures in `hpo.training.machine`.

Seventy random configurations of the default space and some of the prescribed sweeps are timed,
with all cores busy, and the seconds are fitted by the parts of an epoch; relative errors count
equally. `scatter` is the standard deviation of the logarithm of seconds over fit; `scatter_of_hpo`
is the same for the figures in the code, which come from an earlier run.
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from benchmarks.drawing import draw
from benchmarks.machine import REAL_DATA, describe_machine
from hpo import space as spaces
from hpo.config import TrainingConfig
from hpo.data.dataset import seal
from hpo.run.plan import Settings, plan_grid
from hpo.training import device as devices
from hpo.training import machine
from hpo.training.machine import epoch_cost, parts
from hpo.training.processes import seconds_side_by_side
from hpo.training.stack import FOLD

RESULTS = Path(__file__).parent / "results" / "cost.json"
N_RANDOM = 70


def main() -> None:
    """Time, fit, print and write."""
    plan = plan_grid(["batch_size"], Settings(data=REAL_DATA))
    data = seal(plan.dataset)
    configs = [*draw(spaces.load_space("chest_xray"), N_RANDOM, seed=77), *prescribed()]
    seconds = np.array(
        seconds_side_by_side(
            data,
            configs,
            device=devices.choose("cpu", "auto"),
            n_processes=machine.n_cores(),
        )
    )
    n_train = len(data.fold(FOLD).train)
    table = np.array([list(parts(config, n_train=n_train).values()) for config in configs])
    # Columns of similar size, and rows weighted by their relative error.
    sizes = table.max(axis=0)
    found, _ = nnls(table / sizes / seconds[:, None], np.ones(len(seconds)))
    fitted = table @ (found / sizes)
    costs = np.array([epoch_cost(config, n_train=n_train) for config in configs])
    names = parts(configs[0], n_train=n_train)
    result = {
        "what": __doc__,
        "machine": describe_machine(),
        "n_configurations": len(configs),
        "seconds_of": {
            name: float(f"{value:.3g}") for name, value in zip(names, found / sizes, strict=True)
        },
        "scatter": round(float(np.log(seconds / fitted).std()), 3),
        "scatter_of_hpo": round(float(np.log(seconds / costs).std()), 3),
    }
    print(json.dumps(result, indent=1))
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def prescribed() -> list[TrainingConfig]:
    """Return the bases of the reports in four batch sizes, and one layer in all sizes."""
    configs = []
    for name in "abcde":
        space = spaces.load_space(f"report_{name}")
        configs += [space.base.replace(batch_size=size) for size in (16, 32, 64, 128)]
    base = spaces.load_space("chest_xray").base
    for image_size in (64, 128, 256):
        for width in (64, 256, 512):
            one = base.replace(image_size=image_size, hidden=(width,))
            configs += [one.replace(batch_size=size) for size in (32, 128)]
    return [*configs, base.replace(augment_pose=0.1)]


if __name__ == "__main__":
    main()
