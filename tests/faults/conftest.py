from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_xrays
from tests.faults.studies import Study


@pytest.fixture
def study(tmp_path: Path, xrays: Path) -> Study:
    """A study that is not there yet."""
    return Study(tmp_path, xrays)


@pytest.fixture
def trained(study: Study) -> Study:
    """A study that was trained to its end without a fault."""
    assert study.train().code == 0
    return study


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `hpo show` says of a study that met no fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    study = Study(folder, make_xrays(folder))
    assert study.train().code == 0
    return study.shown()
