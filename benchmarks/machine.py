"""The facts that a speed claim must state: machine, load, versions."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from statistics import median

from hpo.training import machine

ROOT = Path(__file__).parents[1]

# Real images next to the checkout, if there are any.
REAL_DATA = ROOT.parent / "shared" / "data" / "chest_xray"


def describe_machine() -> dict[str, object]:
    """Return processor, cores, load and versions."""
    return {
        "processor": machine.processor(),
        "n_cores": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy")},
    }


def spread(values: list[float]) -> dict[str, object]:
    """Return median, extremes and all runs."""
    return {
        "median": round(median(values), 4),
        "low": round(min(values), 4),
        "high": round(max(values), 4),
        "runs": [round(value, 4) for value in values],
    }
