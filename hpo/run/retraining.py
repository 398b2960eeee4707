"""Training jobs of a study again, for what they left behind: never from the run store."""

from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing

import optuna

from hpo.data import TrainingData
from hpo.errors import OutOfMemoryError
from hpo.run.engine import lanes_of, open_stack, sealed
from hpo.run.session import open_recorded_data
from hpo.search import Job
from hpo.study.record import StudyRecord
from hpo.study.study import read_record
from hpo.training.engine import Stack, TrainingResult

Retrained = Generator[tuple[Job, TrainingResult], None, None]


def retrain(study: optuna.Study, jobs: Sequence[Job], *, lanes: int | None = None) -> Retrained:
    """Train jobs again on the study's own data and device; yield each result as it comes.

    As many go on at once as the study would train, or `lanes`. Where memory runs out, those that
    are not done begin again, half as many at once.

    Raises:
        DataError: the data are gone or changed.
        DeviceError: the device is not there.
        OutOfMemoryError: not even one has room.
    """
    record = read_record(study)
    data = sealed(open_recorded_data(study, record), record)
    missing = list(jobs)
    n_lanes = min(lanes_of(record, lanes), len(missing))
    while missing:
        try:
            with closing(_train(record, data, list(missing), n_lanes=n_lanes)) as trained:
                for job, result in trained:
                    missing.remove(job)
                    yield job, result
        except OutOfMemoryError:
            if n_lanes == 1:
                raise
            n_lanes //= 2


def _train(
    record: StudyRecord, data: TrainingData, jobs: Sequence[Job], *, n_lanes: int
) -> Retrained:
    waiting, live = deque(jobs), dict[int, Job]()
    with closing(open_stack(record, data, n_lanes=n_lanes)) as stack:
        while waiting or live:
            while waiting and len(live) < n_lanes:
                job = waiting.popleft()
                live[stack.add(job.config, seed=job.seed, fold=job.fold)] = job
            stack.step()
            for lane in _ended(stack, live):
                yield live.pop(lane), stack.result(lane)


def _ended(stack: Stack, live: dict[int, Job]) -> list[int]:
    return [lane for lane in live if lane not in stack.lanes]
