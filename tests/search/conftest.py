from pathlib import Path

import pytest

from tests.clocked_studies import Bench


@pytest.fixture
def bench(tmp_path: Path, storage_url: str) -> Bench:
    return Bench(tmp_path, storage_url)
