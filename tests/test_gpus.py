"""Which GPUs a study trains on: every one, or the one that was named. No GPU is touched here."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch

from hpo.data import open_data, seal
from hpo.run.plan import Settings, plan_grid
from hpo.run.session import Session, open_session, plan_resume, processes_of
from hpo.training.device import choose
from hpo.training.processes import crew


@pytest.fixture(autouse=True)
def _with_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _name: (9, 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _name: (64 << 30, 64 << 30))


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/hpo.db"


@contextmanager
def grid(xrays: Path, storage: str, device: str) -> Iterator[Session]:
    settings = Settings(
        data=xrays,
        storage=storage,
        study="s",
        set={"image_size": 16, "batch_size": 16},
        device=device,
    )
    with open_session(plan_grid(["hidden"], settings)) as session:
        yield session


def n_processes(session: AbstractContextManager[Session], *, n_lanes: int = 8) -> int:
    with session as opened:
        return processes_of(opened.record, n_lanes)


def resume(storage: str) -> AbstractContextManager[Session]:
    return open_session(plan_resume("s", storage))


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_where_no_gpu_is_named_each_has_a_process_and_resume_keeps_to_it(
    xrays: Path, storage: str, device: str
) -> None:
    assert n_processes(grid(xrays, storage, device)) == 2
    assert n_processes(resume(storage)) == 2
    assert n_processes(resume(storage), n_lanes=1) == 1


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_a_gpu_that_is_named_is_the_only_one(xrays: Path, storage: str, device: str) -> None:
    sessions = (
        lambda: grid(xrays, storage, device),
        lambda: resume(storage),
        lambda: grid(xrays, storage, "auto"),
    )
    for session in sessions:
        with session() as opened:
            assert opened.record.device == device
            assert processes_of(opened.record, 8) == 1


def test_a_gpu_may_be_named_for_one_call(xrays: Path, storage: str) -> None:
    assert n_processes(grid(xrays, storage, "auto")) == 2
    assert n_processes(grid(xrays, storage, "cuda:0")) == 1
    assert n_processes(resume(storage)) == 2


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
        def __init__(self, _on_reply: object, *, pixels: int, gpu: str | None) -> None:  # noqa: ARG002
            seen.append(gpu)

        def send(self, _request: object) -> None: ...

        def close(self) -> None: ...

    monkeypatch.setattr(crew, "Process", Noted)
    data = seal(open_data(None))
    for n_processes, gpus in ((2, expected), (1, [None])):
        device = choose("cuda:0", "bf16")
        crew.Crew(data, device=device, n_processes=n_processes).close()
        assert seen == gpus
        seen.clear()
