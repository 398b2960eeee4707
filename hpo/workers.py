"""Several processes of this machine on one study: started, watched, replaced, and told of."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import IO, Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import cores
from hpo.errors import WorkerError
from hpo.events import Event, Outcome, TrialDone, WorkerReplaced
from hpo.search.job import job_of, trials_in
from hpo.search.leases import Watch
from hpo.session import Session, finish, run
from hpo.storage import explained
from hpo.turns import turn

COMMAND: tuple[str, ...] = (sys.executable, "-m", "hpo")

LEASH: Final = "--leashed"
"""The option by which a worker ends when its standard input does."""

_LOOK_EVERY_S: Final = 0.5
_MOST_REPLACED: Final = 3
# Putting back takes a second or two; a worker may be killed at any time without a loss.
_PATIENCE_S: Final = 20.0
_OUTCOMES: Final[dict[TrialState, Outcome]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def carry_out(session: Session) -> Generator[Event, None, None]:
    """Train what the study lacks, in as many processes as its plan says, this one if it is one."""
    n_workers = session.plan.workers or auto_workers(session)
    yield from run(session) if n_workers == 1 else run_workers(session, n_workers)


def run_workers(session: Session, n_workers: int) -> Generator[Event, None, None]:
    """Train what the study lacks in so many processes, and tell what they do.

    A worker that ends before the work does is replaced, three times in all. They end with this
    process, however it ends.

    Raises:
        WorkerError: all of them have ended before the work did.
    """
    ended = {t.number for t in trials_in(session.study) if t.state in _OUTCOMES}
    crew = [_Worker(session, share) for share in shares(session, n_workers)]
    n_replaced = 0
    try:
        with explained(session.storage.url):
            while any(worker.is_at_work for worker in crew):
                time.sleep(_LOOK_EVERY_S)
                yield from _news(session.study, ended)
                for worker in crew:
                    if worker.has_failed and n_replaced < _MOST_REPLACED:
                        n_replaced += 1
                        yield WorkerReplaced(worker.last_words())
                        worker.start()
            yield from _news(session.study, ended)
        lost = [worker.last_words() for worker in crew if worker.has_failed]
        if len(lost) == len(crew):
            raise WorkerError(
                f"Every process that trains has ended, though {_MOST_REPLACED} were replaced: "
                f"{lost[0]}\nWhat is finished is kept: the same command goes on."
            )
    finally:
        _end(session, crew)
    finish(session)


@dataclass(frozen=True)
class Share:
    """What one worker gets of the machine. `gpu` is the number of its only GPU."""

    cores: frozenset[int]
    n_lanes: int
    gpu: int | None = None


def shares(session: Session, n_workers: int) -> list[Share]:
    """Share out cores, lanes and GPUs: each is used once, as far as they go round."""
    n_gpus = _n_gpus() if _takes_every_gpu(session) else 0
    n_lanes = -(-session.n_lanes // n_workers)
    return [
        Share(frozenset(own), n_lanes, number % n_gpus if n_gpus else None)
        for number, own in enumerate(cores.share(cores.available(), n_workers=n_workers))
    ]


def auto_workers(session: Session) -> int:
    """Return how many processes to train in: one for each GPU where none was named, else one."""
    return _n_gpus() if _takes_every_gpu(session) else 1


def _takes_every_gpu(session: Session) -> bool:
    """Whether the study is on GPUs, and none was named: not now, nor when it was created."""
    is_named = session.record.is_gpu_named or session.plan.record.is_gpu_named
    return session.record.device == "cuda:0" and not is_named


@dataclass
class _Worker:
    """The parent's end of one `hpo worker`."""

    session: Session
    share: Share
    _child: subprocess.Popen[bytes] = field(init=False)
    _said: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        study, plan = self.session.study.study_name, self.session.plan
        options = ["--lanes", str(self.share.n_lanes), "--quiet", LEASH]
        if path := self.session.record.data.path:
            options += ["--data", path]
        if plan.timeout_s < float("inf"):
            options += ["--timeout", str(plan.timeout_s)]
        # A URL may hold a password: the arguments of a process can be read by everyone.
        environment = os.environ | {"HPO_STORAGE": plan.storage}
        if self.share.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = _visible_gpus()[self.share.gpu]
        self._child = subprocess.Popen(
            [*COMMAND, "worker", study, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the parent, which ends its workers itself.
        )
        with contextlib.suppress(ProcessLookupError):  # It has ended already.
            cores.use(self.share.cores, process=self._child.pid)

    @property
    def is_at_work(self) -> bool:
        return self._child.poll() is None

    @property
    def has_failed(self) -> bool:
        return bool(self._child.poll())

    def last_words(self) -> str:
        """Return what the worker said last, or how it ended."""
        self._said.seek(0)
        said = self._said.read()[-2_000:].decode(errors="replace").strip()
        code = self._child.returncode
        how = f"it was killed (signal {-code})." if code < 0 else f"it ended with {code}."
        return said.rpartition("Error: ")[2] if said and code > 0 else how

    def tell_to_end(self) -> None:
        """Let the worker put back what it trains, and end."""
        assert self._child.stdin
        self._child.stdin.close()

    def close(self) -> bool:
        """Wait for the end of the worker; return whether it took too long and was killed."""
        is_killed = False
        try:
            self._child.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            is_killed = True
            self._child.kill()
            self._child.wait()
        self._said.close()
        return is_killed


def _end(session: Session, crew: list[_Worker]) -> None:
    """End all workers; what a killed one trained is put back for it."""
    for worker in crew:
        worker.tell_to_end()
    killed = [worker.close() for worker in crew]
    if any(killed):
        with turn(session.storage, session.study.study_name), explained(session.storage.url):
            Watch(session.study).put_back()


def _news(study: optuna.Study, ended: set[int]) -> Iterator[TrialDone]:
    """Yield the trials that have ended since, and note them."""
    for trial in trials_in(study, *_OUTCOMES):
        if trial.number not in ended and "config" in trial.user_attrs:
            ended.add(trial.number)
            yield _told(trial)


def _told(trial: FrozenTrial) -> TrialDone:
    attributes = trial.user_attrs
    return TrialDone(
        trial=trial.number,
        job=job_of(trial),
        run=attributes.get("run", ""),
        outcome=_OUTCOMES[trial.state],
        score=trial.value if trial.state == TrialState.COMPLETE else None,
        is_reused=attributes.get("is_reused", False),
        reason=attributes.get("reason"),
    )


def _n_gpus() -> int:
    from hpo.training import device

    return device.n_gpus()


def _visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process sees, as it would hand them on."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(number) for number in range(_n_gpus())]
