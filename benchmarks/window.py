"""The share of time in which processes train, by the window of a search.

A simulation: fifty configurations are drawn from the default space, a third of them pruned after a
third of their epochs, with the cost of an epoch from `hpo.training.machine.epoch_cost`, in 30
random orders. The windows are compared with the earlier method: all lanes in step, epoch by epoch.
"""

import json
import random
from pathlib import Path
from statistics import fmean

from benchmarks.drawing import draw
from benchmarks.machine import describe_machine
from benchmarks.schedule import Work, seconds_in_window
from hpo import space as spaces
from hpo.training.machine import epoch_cost

RESULTS = Path(__file__).parent / "results" / "window.json"
N_CONFIGURATIONS, N_ORDERS, N_TRAIN = 50, 30, 1_600
MACHINES = ((2, 4), (4, 4), (8, 8))
"""Processes, and the lanes that a search takes there."""


def main() -> None:
    """Simulate, print and write."""
    works = cut_off()
    seconds = sum(work.seconds for work in works)
    rows = []
    for n_processes, n_lanes in MACHINES:
        orders = [random.Random(seed).sample(works, len(works)) for seed in range(N_ORDERS)]
        shares = {
            f"window of {window}": [
                seconds
                / n_processes
                / seconds_in_window(order, n_lanes=n_lanes, n_processes=n_processes, window=window)
                for order in orders
            ]
            for window in (n_lanes, n_lanes + n_lanes // 2, 2 * n_lanes)
        }
        shares["in step"] = [
            seconds / n_processes / seconds_in_step(order, n_lanes, n_processes)
            for order in orders
        ]
        told = {name: round(fmean(found), 3) for name, found in shares.items()}
        rows.append({"n_processes": n_processes, "n_lanes": n_lanes, "share_of_time": told})
    result = {"what": __doc__, "machine": describe_machine(), "rows": rows}
    print(json.dumps(rows, indent=1))
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def cut_off() -> list[Work]:
    """Return the costs of trainings of the default space, a third of them pruned."""
    configs = draw(spaces.load_space("chest_xray"), N_CONFIGURATIONS, seed=0)
    works = []
    for number, config in enumerate(configs):
        n_epochs = max(1, config.epochs // 3) if number % 3 == 0 else config.epochs
        works.append(Work(epoch_cost(config, n_train=N_TRAIN), n_epochs))
    return works


def seconds_in_step(works: list[Work], n_lanes: int, n_processes: int) -> float:
    """Return the time if every epoch waits for the slowest process."""
    waiting, total = list(reversed(works)), 0.0
    places: list[list[tuple[float, float]]] = [[] for _ in range(n_processes)]
    while waiting or any(places):
        while waiting and sum(map(len, places)) < n_lanes:
            work = waiting.pop()
            min(places, key=_tick).append((work.epoch, work.n_epochs))
        total += max(map(_tick, places))
        places = [[(cost, left - 1) for cost, left in place if left > 1] for place in places]
    return total


def _tick(place: list[tuple[float, float]]) -> float:
    return sum(cost for cost, _ in place)


if __name__ == "__main__":
    main()
