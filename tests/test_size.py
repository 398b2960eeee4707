"""How large the package and its tests may be.

A step that makes them smaller lowers the limits; one is raised only in a commit that says why.
"""

import ast
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
MOST_FILES: Final = 133
MOST_LINES: Final = 26_120
MOST_RECORDS: Final = 99
MOST_LINES_OF_TESTS: Final = 15_676
_MARKS: Final = ("dataclass", "NamedTuple", "TypedDict", "BaseModel")


def n_lines(paths: list[Path]) -> int:
    return sum(path.read_text(encoding="utf-8").count("\n") for path in paths)


def n_records(path: Path) -> int:
    classes = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    marks = [[*map(ast.unparse, [*one.decorator_list, *one.bases])] for one in classes]
    return sum(any(word in mark for mark in of_one for word in _MARKS) for of_one in marks)


def test_the_package_does_not_grow_unnoticed() -> None:
    paths = sorted((ROOT / "hpo").rglob("*.py"))
    assert len(paths) <= MOST_FILES
    assert n_lines(paths) <= MOST_LINES
    assert sum(map(n_records, paths)) <= MOST_RECORDS


def test_the_tests_do_not_grow_unnoticed() -> None:
    assert n_lines(sorted((ROOT / "tests").rglob("*.py"))) <= MOST_LINES_OF_TESTS
