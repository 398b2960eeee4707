from collections.abc import Callable
from pathlib import Path

import pytest

from hpo.space import Space, load_space

SpaceFrom = Callable[[str], Space]


@pytest.fixture
def space_from(tmp_path: Path) -> SpaceFrom:
    """Return a function that reads a space from the text of a space file."""

    def read(text: str) -> Space:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return load_space(str(path))

    return read
