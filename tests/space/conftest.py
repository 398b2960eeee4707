from collections.abc import Callable
from pathlib import Path

import pytest

from hpo.errors import SpaceError
from hpo.space import Space, load_space

SpaceFrom = Callable[[str], Space]
FaultsOf = Callable[[str], list[str]]


@pytest.fixture
def space_from(tmp_path: Path) -> SpaceFrom:
    """Return a function that reads a space from the text of a space file."""

    def read(text: str) -> Space:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return load_space(str(path))

    return read


@pytest.fixture
def faults_of(space_from: SpaceFrom) -> FaultsOf:
    """Return a function that lists the faults of a space file, without the line of the file."""

    def faults(text: str) -> list[str]:
        with pytest.raises(SpaceError) as caught:
            space_from(text)
        summary, *lines = str(caught.value).splitlines()
        assert summary.endswith("mine.toml is not valid:")
        return [line.removeprefix("  - ") for line in lines]

    return faults
