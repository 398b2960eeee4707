from pathlib import Path
from typing import Any

import pytest

from tests.conftest import copy_study, make_xrays
from tests.faults.studies import Study


@pytest.fixture
def study(tmp_path: Path, xrays: Path) -> Study:
    """A study that does not exist yet."""
    return Study(tmp_path, xrays)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A finished study without faults, which tests must not change."""
    folder = tmp_path_factory.mktemp("undisturbed")
    study = Study(folder, make_xrays(folder))
    assert study.train().code == 0
    return study


@pytest.fixture
def trained(whole: Study, study: Study) -> Study:
    """A copy of the finished study."""
    copy_study(whole.folder, study.folder)
    return study


@pytest.fixture(scope="session")
def undisturbed(whole: Study) -> Any:
    """The output of `hpo show` for a study without faults."""
    return whole.shown()
