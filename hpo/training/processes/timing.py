"""Timing trainings with every process at work, as they are when a study trains."""

from collections.abc import Sequence
from statistics import fmean

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.device import Device
from hpo.training.lane_data import check_fits
from hpo.training.processes.crew import Crew
from hpo.training.processes.messages import Time, Timed
from hpo.training.timing import FOLD


def seconds_side_by_side(
    data: TrainingData, configs: Sequence[TrainingConfig], *, device: Device, n_processes: int
) -> list[float]:
    """Return what `hpo.training.timing.seconds_per_epoch` finds where all processes are at work.

    Each process times all configurations, each begins with another, and the means are returned:
    cores that share memory and caches are slower together than one alone.

    Raises:
        TrainingError: a batch is larger than the training images of the fold.
        OutOfMemoryError: there is too little memory.
        OutputError: the pixels cannot be put where all processes see them.
    """
    for config in configs:
        check_fits(data, config, FOLD)
    n = len(configs)
    to_do = {process: [(process + k) % n for k in range(n)] for process in range(n_processes)}
    seconds: list[list[float]] = [[] for _ in configs]
    crew = Crew(data, device=device, n_processes=n_processes)
    try:
        requests = [
            Time(config, data.fold(FOLD), crew.share_pixels(config.image_size))
            for config in configs
        ]
        for process in to_do:
            crew.send(process, requests[to_do[process][0]])
        while any(to_do.values()):
            process, answer = crew.receive()
            assert isinstance(answer, Timed)
            seconds[to_do[process].pop(0)].append(answer.seconds)
            if to_do[process]:
                crew.send(process, requests[to_do[process][0]])
    finally:
        crew.close()
    return [fmean(times) for times in seconds]
