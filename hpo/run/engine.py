"""What trains a study: on which device, how many trainings at once, in how many processes."""

from dataclasses import replace

from hpo import cores
from hpo import space as spaces
from hpo.data import Dataset, TrainingData, seal
from hpo.study.record import StudyRecord
from hpo.training.cost import choose_lanes
from hpo.training.engine import Stack


def sealed(dataset: Dataset, record: StudyRecord) -> TrainingData:
    """Return the data as the trainings of a study may see them."""
    return replace(seal(dataset), is_stressed=record.score.is_stressed)


def open_stack(record: StudyRecord, data: TrainingData, *, n_lanes: int) -> Stack:
    """Open the engine that trains a study, on its device.

    Lanes on the CPU spread over processes, one for each core; on GPUs of which none was named, one
    for each of them.

    Raises:
        DeviceError: the device is not there.
    """
    # torch takes two seconds to import: a study that is complete is shown without it.
    from hpo.training import device, processes, stack

    place = device.choose(record.device, record.precision)
    n_processes = processes_of(record, n_lanes)
    if n_processes == 1:
        return stack.open_stack(data, device=place, joins=joins(record))
    spread = processes.Spread(n_processes=n_processes, joins=joins(record))
    return processes.open_stack(data, device=place, spread=spread)


def lanes_of(record: StudyRecord, asked: int | None) -> int:
    """Return how many trainings of a study go on at once: of a search never more than its window.

    What is not asked for suits the configurations, as far as they are known.
    """
    configs = [record.space.base]
    if record.kind == "grid":
        configs = [cell.config for cell in spaces.cells(record.space, record.names)]
    n_lanes = asked or choose_lanes(record.kind, record.device, configs)
    return min(n_lanes, record.window) if record.window else n_lanes


def processes_of(record: StudyRecord, n_lanes: int) -> int:
    """Return over how many processes so many lanes are spread: one per core, or per GPU."""
    if record.device.startswith("cpu"):
        return min(n_lanes, cores.n_usable())
    if record.device != "cuda:0" or record.is_gpu_named:
        return 1
    from hpo.training import device

    return min(n_lanes, device.n_gpus())


def joins(record: StudyRecord) -> bool:
    """Whether trainings that differ only in their epochs are to be one."""
    return record.kind == "grid" and "epochs" in record.names


def with_device(record: StudyRecord) -> StudyRecord:
    """Return the record with its device and precision settled on this machine.

    Raises:
        DeviceError: the device is not there.
    """
    from hpo.training import device

    place = device.choose(record.device, record.precision)
    return replace(record, device=place.name, precision=place.precision)
