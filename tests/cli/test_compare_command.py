"""hpo compare, as a user types it."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SMALL, Hpo, make_images

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "2", *SMALL)


@pytest.fixture
def _two(hpo: Hpo, xrays: Path) -> None:
    """Two finished grids on the same data, called one and two."""
    hpo(*GRID, "--data", xrays, "--study", "one")
    hpo(*GRID, "--data", xrays, "--study", "two", "--set", "learning_rate=0.01")


@pytest.mark.usefixtures("_two")
def test_two_studies_end_in_a_table_a_page_and_json(hpo: Hpo) -> None:
    answer = hpo("compare", "one", "two", "--json")
    assert answer.code == 0
    document = answer.json
    assert [c["name"] for c in document["configurations"]] == [
        "8 of one",
        "16 of one",
        "8 of two",
        "16 of two",
    ]
    assert [pair["n_pairs"] for pair in document["verdict"]["pairs"]] == [2] * 4
    page = Path(document["report"])
    assert page == Path("studies/compare-one-two.html")
    assert page.read_text().startswith("<!DOCTYPE html>")
    shown = hpo("compare", "one", "two")
    for text in ("8 of one", "16 of two", "95 % interval", str(page)):
        assert text in shown.out
    assert len(hpo("compare", "one", "two", "--best", "--json").json["configurations"]) == 2


@pytest.mark.usefixtures("_two")
def test_what_does_not_compare_is_refused_with_the_way_out(hpo: Hpo, xrays: Path) -> None:
    unknown = hpo("compare", "one", "twoo", "--json")
    assert unknown.code == 1
    assert "Did you mean two?" in unknown.json["error"]["message"]

    other = xrays.parent / "other"
    other.mkdir()
    for path in xrays.iterdir():
        np.save(other / path.name, np.load(path))
    np.save(other / "normal.npy", make_images(41, is_ill=False, seed=9))
    hpo(*GRID, "--data", other, "--study", "three")
    different = hpo("compare", "one", "three")
    assert different.code == 1
    assert "different data" in different.err
    assert "three: other" in different.err

    Path("studies/compare-one-two.html").mkdir()
    unwritable = hpo("compare", "one", "two")
    assert unwritable.code == 1
    assert "hpo compare one two" in unwritable.err


def test_one_study_alone_is_a_usage_error(hpo: Hpo) -> None:
    for studies in (("one",), ("one", "one")):
        answer = hpo("compare", *studies)
        assert answer.code == 2
        assert "two studies or more" in answer.err
