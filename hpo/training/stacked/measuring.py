"""Reading a lane: after an epoch, and at its end."""

import time
from dataclasses import replace

from torch import Tensor

from hpo.training.engine import EpochMetrics, TrainingResult
from hpo.training.lane_data import LaneData
from hpo.training.losses import probabilities
from hpo.training.readings import Readings, measure_epoch, note_stress, result_of
from hpo.training.stacked.lane import Lane, export_weights, read_logits, read_losses
from hpo.training.stacked.scratch import Scratch


def measure(lane: Lane, trained: Tensor, validation: Tensor, scratch: Scratch) -> EpochMetrics:
    """Return the metrics of the epoch that is under way.

    `trained` `(3,)` holds sums over its images, `validation` `(1 + n,)` what `read_losses` found.
    """
    progress = lane.progress
    if progress.is_stress_due:
        _note_stress(lane, progress.epoch + 1, scratch)
    return measure_epoch(trained, validation, data=lane.data, progress=progress)


def read_result(lane: Lane, scratch: Scratch) -> TrainingResult:
    """Return what a training leaves behind: that of its kept weights."""
    start, data = time.perf_counter(), lane.data
    # A copy of the record: the training may go on from its last weights, not from the kept ones.
    lane = replace(lane, parameters=lane.kept or lane.parameters)
    _note_stress(lane, lane.progress.last_kept, scratch)
    readings = Readings(
        train=read_losses(lane, data.train, scratch),
        validation=read_losses(lane, data.validation, scratch),
        test=probabilities(lane.config, read_logits(lane, data.test, scratch)),
    )
    return result_of(lane.progress, readings, data=data, weights=export_weights(lane), since=start)


def _note_stress(lane: Lane, epoch: int, scratch: Scratch) -> None:
    def read(data: LaneData) -> Tensor:
        return read_losses(replace(lane, data=data), data.validation, scratch)

    note_stress(lane.progress, read, data=lane.data, epoch=epoch)
