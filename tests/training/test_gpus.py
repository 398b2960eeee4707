"""Which GPUs a study trains on: all, or the named one. These tests need no GPU."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from hpo.run.plan import Settings, plan_grid
from hpo.run.session import Session, open_session, plan_resume, processes_of
from hpo.training import processes, selfcheck
from hpo.training.device import choose
from tests.training.together import make_data


@pytest.fixture(autouse=True)
def _with_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _name: (9, 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _name: (64 << 30, 64 << 30))
    monkeypatch.setattr(selfcheck, "check_device", lambda _device: None)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/hpo.db"


@contextmanager
def grid(xrays: Path, storage: str, device: str) -> Iterator[Session]:
    small = {"image_size": 16, "batch_size": 16}
    settings = Settings(data=xrays, storage=storage, study="s", set=small, device=device)
    with open_session(plan_grid(["hidden"], settings)) as session:
        yield session


def n_processes(session: AbstractContextManager[Session]) -> int:
    with session as opened:
        assert opened.record.device == "cuda:0"
        assert processes_of(opened.record, 1) == 1
        return processes_of(opened.record, 8)


@pytest.mark.parametrize(("device", "n"), [("auto", 2), ("cuda:0", 1)])
def test_each_gpu_has_a_process_unless_one_is_named_also_in_resume(
    xrays: Path, storage: str, device: str, n: int
) -> None:
    assert n_processes(grid(xrays, storage, device)) == n
    assert n_processes(grid(xrays, storage, "auto")) == n
    # One may be named for one call.
    assert n_processes(grid(xrays, storage, "cuda:0")) == 1
    assert n_processes(open_session(plan_resume("s", Settings(storage=storage)))) == n


@pytest.mark.parametrize(
    ("visible", "expected"), [(None, ["0", "1"]), ("3,GPU-5f", ["3", "GPU-5f"])]
)
def test_each_process_sees_one_gpu(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    seen: list[str | None] = []

    class Noted:
        lanes: ClassVar[dict[int, float]] = {}

        def __init__(self, _replies: object, *, gpu: str | None, **_: object) -> None:
            seen.append(gpu)

        def send(self, *_request: object) -> None: ...

        def close(self) -> None: ...

    monkeypatch.setattr(processes, "Process", Noted)
    for n_processes, gpus in ((2, expected), (1, [None])):
        device = choose("cuda:0", "bf16")
        processes.Processes(make_data(10, 8), device, n_processes=n_processes).close()
        assert seen == gpus
        seen.clear()
