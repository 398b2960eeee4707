"""A study of 10,000 trials: the cost of `show`, `report`, and `resume`.

    python -m benchmarks.long [--trials 10000] [--runs 5] [--json FILE]

A search of 19 parameters with 15 or 20 recorded epochs per trial, and a grid of 2,000 cells with 5
repeats, in one SQLite file, with the run files of the best hundred and of every twentieth
training. Processes are timed from start to end: wall-clock seconds, processor seconds (less
affected by a busy machine), peak memory. A page is drawn in headless Chromium, from the start of
the navigation to the frame after its last figure.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import optuna

from benchmarks.draw_page import drawn_seconds
from benchmarks.long_database import in_database
from benchmarks.long_studies import long_grid, long_search, save_runs
from benchmarks.machine import ROOT, describe_machine, spread
from hpo.run.plan import Settings, plan_search
from hpo.storage.opening import open_storage
from hpo.storage.runs import RunStore

RESULTS = Path(__file__).parent / "results" / "long.json"
TARGETS = {
    "show, seconds": 5,
    "report, seconds": 20,
    "report, megabytes": 1500,
    "page, megabytes": 10,
    "page drawn, seconds": 3,
}
OPEN = (
    "import sys\n"
    "from hpo.run.plan import Settings\n"
    "from hpo.run.session import open_session, plan_resume\n"
    "with open_session(plan_resume(sys.argv[1], Settings())) as session:\n"
    "    print(session.source.n_left(), len(session.summary().configurations))\n"
)


def main() -> None:
    """Build the studies, read them, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    target = arguments.json.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        result = measure(arguments.trials, arguments.runs)
    text = json.dumps(result, indent=2)
    print(text)
    target.write_text(text + "\n", encoding="utf-8")


def measure(n_trials: int, n_runs: int) -> dict[str, Any]:
    """Build both studies in this folder and time the commands that read them."""
    machine = describe_machine() | {"optuna": optuna.__version__}
    # In a separate process: a child starts with the peak memory of its parent.
    builder = get_context("spawn").Process(target=build, args=(n_trials,))
    builder.start()
    builder.join()
    hpo = [sys.executable, "-m", "hpo"]
    timed: dict[str, Any] = {"show (both studies)": timed_process([*hpo, "show"], n_runs)}
    for name in ("search", "grid"):
        page = Path("studies", name, "report.html")
        timed[name] = {
            "show": timed_process([*hpo, "show", name], n_runs),
            "show --json": timed_process([*hpo, "show", name, "--json"], n_runs),
            "report": timed_process([*hpo, "report", name], n_runs),
            "opened for resume": timed_process([sys.executable, "-c", OPEN, name], n_runs),
            "page megabytes": round(page.stat().st_size / 1e6, 2),
            "page drawn, seconds": drawn(page, n_runs),
        }
    further = {str(n): goes_on(n) for n in (n_trials // 10, n_trials // 3, n_trials)}
    return {
        "what": "reading a study of many trials: whole processes, their memory, the page drawn",
        "machine": machine,
        "n_trials": n_trials,
        "database_megabytes": round(Path("studies/hpo.db").stat().st_size / 1e6, 1),
        "targets": TARGETS,
        **timed,
        "a search goes on after so many trials": further,
        "load_average_at_the_end": [round(load, 2) for load in os.getloadavg()],
    }


def build(n_trials: int) -> None:
    """Create a search and a grid of this size, on the phantom, which any machine can open."""
    data = plan_search((), Settings(trials=1)).record.data
    Path("studies").mkdir()
    storage = open_storage("sqlite:///studies/hpo.db")
    made = {
        "search": long_search(n_trials, data=data),
        "grid": long_grid(n_trials // 5, data=data),
    }
    for name, long in made.items():
        in_database(long, storage, name)
        save_runs(long, RunStore(Path("studies/runs")))
    storage.engine.dispose()


def timed_process(command: list[str], n_runs: int) -> dict[str, Any]:
    """Run a process this many times, after one discarded run."""
    seconds, cpu, megabytes = [], [], []
    for run in range(n_runs + 1):
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        if run:
            seconds.append(time.perf_counter() - start)
            cpu.append(used.ru_utime + used.ru_stime)
            megabytes.append(used.ru_maxrss / 1024)
    return {
        "seconds": spread(seconds),
        "processor_seconds": spread(cpu),
        "peak_megabytes": round(median(megabytes)),
    }


def goes_on(n_trials: int) -> Any:
    """Continue a search of this many trials, in a separate process."""
    command = [sys.executable, "-m", "benchmarks.go_on", str(n_trials)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return json.loads(subprocess.check_output(command, env=environment))


def drawn(page: Path, n_runs: int) -> dict[str, object] | None:
    """Let a browser draw a page this many times; None without Chromium."""
    found = [drawn_seconds(page) for _ in range(n_runs + 1)][1:]
    times = [seconds for seconds in found if seconds]
    if not times:
        return None
    return {
        "first figure": spread([first for first, *_ in times]),
        "figures near the first screen": spread([near for _, near, _ in times]),
        "all figures": spread([last for *_, last in times]),
    }


if __name__ == "__main__":
    main()
