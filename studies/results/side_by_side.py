"""Trainings in processes of their own, several at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from hpo.runs import RunStore


@dataclass(frozen=True, kw_only=True)
class Order:
    """A command that trains; `runs` are the names of its run files, with the epochs of each."""

    name: str
    command: tuple[str, ...]
    runs: Mapping[str, int]

    def lacks(self, store: RunStore) -> set[str]:
        """Return the names of the runs that are not in the store."""
        return {run for run in self.runs if store.read(run) is None}


def train(
    orders: Sequence[Order], store: RunStore, *, n_jobs: int, environment: Mapping[str, str]
) -> dict[str, int]:
    """Carry out every order that lacks runs, the longest first; return their exit codes by name.

    Two orders that lack the same run are not carried out at the same time, so that nothing is
    trained twice. What a process says is passed on with the name of its order. When this call is
    interrupted, so are the processes.
    """
    waiting, codes = list(orders), {}
    running: dict[Future[int], Order] = {}
    children: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(n_jobs) as pool, _interrupted_with_us(children):
        while waiting or running:
            while len(running) < n_jobs and (order := _next(waiting, running.values(), store)):
                waiting.remove(order)
                if order.lacks(store):
                    child = _start(order, environment)
                    children.append(child)
                    running[pool.submit(_follow, order, child)] = order
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                codes[running.pop(future).name] = future.result()
    return codes


def _next(waiting: Sequence[Order], running: Collection[Order], store: RunStore) -> Order | None:
    """Return the longest order that shares no missing run with one that is being carried out."""
    busy = set().union(*(order.runs for order in running))
    free = {}
    for order in waiting:
        lacks = order.lacks(store)
        if not lacks & busy:
            free[order.name] = (sum(order.runs[run] for run in lacks), order)
    return max(free.values(), key=lambda item: item[0])[1] if free else None


def _start(order: Order, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        order.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def _follow(order: Order, child: subprocess.Popen[str]) -> int:
    assert child.stderr is not None
    with child.stderr as lines:
        for line in lines:
            print(f"{order.name}: {line.rstrip()}", file=sys.stderr, flush=True)
    return child.wait()


@contextmanager
def _interrupted_with_us(children: Sequence[subprocess.Popen[str]]) -> Iterator[None]:
    try:
        yield
    finally:
        for child in children:
            if child.poll() is None:
                with suppress(ProcessLookupError):
                    child.send_signal(signal.SIGINT)
