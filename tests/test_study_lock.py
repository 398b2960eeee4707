"""One driver per study: a second one is refused at once, and a dead one does not block."""

from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.storage.lock import study_lock
from hpo.storage.opening import open_storage
from tests.conftest import EVERY_STORAGE


@pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)
def test_two_studies_of_a_database_can_have_two_drivers(storage_url: str) -> None:
    storage = open_storage(storage_url)
    with (
        study_lock(storage, "one") as check,
        study_lock(storage, "two"),
        pytest.raises(StudyError, match="The study one is in use"),
        study_lock(storage, "one"),
    ):
        check()


def test_a_database_has_the_same_lock_under_another_path(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/hpo.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "hpo.db")
    other = open_storage(f"sqlite:///{tmp_path}/link.db")
    with study_lock(storage, "s"), pytest.raises(StudyError), study_lock(other, "s"):
        pass


@pytest.mark.parametrize(("mode", "expected"), [(0o644, 0o600), (0o664, 0o660)])
def test_only_users_who_can_write_the_database_can_take_the_lock(
    tmp_path: Path, mode: int, expected: int
) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/hpo.db")
    (tmp_path / "hpo.db").chmod(mode)
    with study_lock(storage, "s"):
        (lock,) = tmp_path.glob("*.lock")
        assert lock.stat().st_mode & 0o777 == expected
    assert not list(tmp_path.glob("*.lock"))
