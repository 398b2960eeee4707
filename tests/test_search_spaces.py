"""The space files shipped with hpo, compared with the course reports."""

import json
from pathlib import Path

import pytest

from hpo.space import cells, load_space, space_names, to_document

FILES = sorted((Path(__file__).parents[1] / "search_spaces").glob("*.toml"))


def test_shipped_spaces_match_the_course_reports() -> None:
    """The documents in fixtures/spaces.json were compared with the reports."""
    found = {name: to_document(load_space(name)) for name in space_names()}
    kept = Path(__file__).parent / "fixtures" / "spaces.json"
    assert json.loads(json.dumps(found)) == json.loads(kept.read_text())


@pytest.mark.parametrize("name", space_names())
def test_values_of_a_sweep_are_different_trainings_and_one_is_the_base(name: str) -> None:
    space = load_space(name)
    for sweep in space.sweeps.values():
        trainings = [cell.config.identity() for cell in cells(space, [sweep.name])]
        assert len(set(trainings)) == len(trainings) == len(sweep.values) >= 2
        assert space.base.replace(**sweep.set).identity() in trainings


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_of_a_space_file_states_its_source(path: Path) -> None:
    section, unmarked = "", []
    for line in path.read_text().splitlines():
        section = line.split("#")[0].strip() if line.startswith("[") else section
        code, _, comment = line.partition("#")
        is_value = "=" in code and not code.strip().endswith("[") and section != "[search]"
        if is_value and not any(mark in comment for mark in ("said", "inferred", "assumed")):
            unmarked.append(line)
    assert unmarked == []
