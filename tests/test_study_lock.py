"""One driver per study: a second one gets its message at once, and a dead one is in no way."""

import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.storage.lock import study_lock
from hpo.storage.opening import open_storage
from tests.conftest import EVERY_STORAGE
from tests.processes import start


@dataclass(frozen=True)
class Holds:
    """A process that drives a study until it is killed."""

    url: str
    mark: Path

    def __call__(self) -> None:
        with study_lock(open_storage(self.url), "study"):
            self.mark.touch()
            time.sleep(600)


every_storage = pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)


@every_storage
def test_a_second_driver_is_refused_until_the_first_is_killed(
    storage_url: str, tmp_path: Path
) -> None:
    child = start(tmp_path, Holds(storage_url, tmp_path / "held"))
    while child.poll() is None and not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(StudyError) as refused, study_lock(open_storage(storage_url), "study"):
        pass
    said = str(refused.value)
    assert f"The study study is in use by process {child.pid} on {socket.gethostname()}" in said
    assert " since 20" in said
    assert "Wait until it ends, or stop it" in said
    child.kill()
    with study_lock(open_storage(storage_url), "study") as check:
        check()


@every_storage
def test_two_studies_of_a_database_have_two_drivers(storage_url: str) -> None:
    storage = open_storage(storage_url)
    with (
        study_lock(storage, "one") as check,
        study_lock(storage, "two"),
        pytest.raises(StudyError, match="The study one is in use"),
        study_lock(storage, "one"),
    ):
        check()


def test_a_database_by_another_path_has_the_same_lock(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/hpo.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "hpo.db")
    other = open_storage(f"sqlite:///{tmp_path}/link.db")
    with study_lock(storage, "s"), pytest.raises(StudyError), study_lock(other, "s"):
        pass


@pytest.mark.parametrize(("mode", "expected"), [(0o644, 0o600), (0o664, 0o660)])
def test_only_those_can_take_the_lock_who_may_write_the_database(
    tmp_path: Path, mode: int, expected: int
) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/hpo.db")
    (tmp_path / "hpo.db").chmod(mode)
    with study_lock(storage, "s"):
        (lock,) = tmp_path.glob("*.lock")
        assert lock.stat().st_mode & 0o777 == expected
    assert not list(tmp_path.glob("*.lock"))
