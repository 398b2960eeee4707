"""Which GPUs a study trains on: every one, or the one that was named. No GPU is touched here."""

from pathlib import Path

import pytest
import torch

from hpo.plan import Settings, plan_grid
from hpo.session import Session, open_session, plan_resume
from hpo.workers import auto_workers, shares


@pytest.fixture(autouse=True)
def _with_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _name: (9, 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _name: (64 << 30, 64 << 30))


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/hpo.db"


def grid(xrays: Path, storage: str, device: str) -> Session:
    settings = Settings(
        data=xrays,
        storage=storage,
        study="s",
        set={"image_size": 16, "batch_size": 16},
        device=device,
    )
    return open_session(plan_grid(["hidden"], settings))


def resume(storage: str) -> Session:
    return open_session(plan_resume("s", storage))


def gpus(session: Session) -> list[int | None]:
    """Return the GPU of each of two workers; None is the one on record."""
    return [share.gpu for share in shares(session, 2)]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_where_no_gpu_is_named_each_has_a_process_and_resume_keeps_to_it(
    xrays: Path, storage: str, device: str
) -> None:
    for session in (grid(xrays, storage, device), resume(storage)):
        assert auto_workers(session) == 2
        assert gpus(session) == [0, 1]


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_a_gpu_that_is_named_is_the_only_one(xrays: Path, storage: str, device: str) -> None:
    for session in (grid(xrays, storage, device), resume(storage), grid(xrays, storage, "auto")):
        assert session.record.device == device
        assert auto_workers(session) == 1
        assert gpus(session) == [None, None]


def test_a_gpu_may_be_named_for_one_call(xrays: Path, storage: str) -> None:
    grid(xrays, storage, "auto")
    named = grid(xrays, storage, "cuda:0")
    assert (auto_workers(named), gpus(named)) == (1, [None, None])
    assert auto_workers(resume(storage)) == 2


def test_on_a_cpu_there_is_one_process(xrays: Path, storage: str) -> None:
    session = grid(xrays, storage, "cpu")
    assert (auto_workers(session), gpus(session)) == (1, [None, None])
