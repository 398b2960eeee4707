"""Timing in several processes at once."""

import dataclasses
from pathlib import Path

import pytest

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.errors import TrainingError
from hpo.training.device import Device
from hpo.training.processes import seconds_side_by_side
from hpo.training.processes.crew import Crew
from hpo.training.processes.messages import Answer, Request, Time, Timed

BASE = TrainingConfig(image_size=16, hidden=(8,), batch_size=20)
CONFIGS = (BASE, BASE.replace(image_size=9), BASE.replace(hidden=[64]))


def test_epochs_are_timed_in_processes(data: TrainingData, cpu: Device) -> None:
    found = seconds_side_by_side(data, CONFIGS, device=cpu, n_processes=2)
    assert len(found) == 3
    assert all(0 < seconds < 10 for seconds in found)


def test_each_process_times_all_beginning_with_another(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    asked: dict[int, list[TrainingConfig]] = {0: [], 1: []}
    waiting: list[int] = []

    def send(_crew: Crew, process: int, request: Request) -> None:
        assert isinstance(request, Time)
        asked[process].append(request.config)
        waiting.append(process)

    def receive(_crew: Crew) -> tuple[int, Answer]:
        process = waiting.pop(0)
        return process, Timed(10.0 * process + CONFIGS.index(asked[process][-1]))

    monkeypatch.setattr(Crew, "send", send)
    monkeypatch.setattr(Crew, "receive", receive)
    found = seconds_side_by_side(data, CONFIGS, device=cpu, n_processes=2)
    assert asked == {0: list(CONFIGS), 1: [CONFIGS[1], CONFIGS[2], CONFIGS[0]]}
    assert found == [5, 6, 7]


def test_a_batch_that_does_not_fit_is_said_before_a_process_starts(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    monkeypatch.delattr(Crew, "__init__")
    with pytest.raises(TrainingError, match="batch_size 81"):
        seconds_side_by_side(data, [BASE.replace(batch_size=81)], device=cpu, n_processes=2)


def test_processes_end_where_timing_fails(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spoiled = dataclasses.replace(data, pixels_at=lambda _size: data.pixels_at(8))
    with pytest.raises(RuntimeError, match="process that trains failed"):
        seconds_side_by_side(spoiled, [BASE], device=cpu, n_processes=2)
    assert not list(tmp_path.iterdir())
