from pathlib import Path
from typing import Any

import pytest

from tests.conftest import copy_study, make_xrays
from tests.faults.studies import Study


@pytest.fixture
def study(tmp_path: Path, xrays: Path) -> Study:
    """A study that is not there yet."""
    return Study(tmp_path, xrays)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that was trained to its end without a fault, to be read only."""
    folder = tmp_path_factory.mktemp("undisturbed")
    study = Study(folder, make_xrays(folder))
    assert study.train().code == 0
    return study


@pytest.fixture
def trained(whole: Study, study: Study) -> Study:
    """A copy of it."""
    copy_study(whole.folder, study.folder)
    return study


@pytest.fixture(scope="session")
def undisturbed(whole: Study) -> Any:
    """What `hpo show` says of a study that met no fault."""
    return whole.shown()
