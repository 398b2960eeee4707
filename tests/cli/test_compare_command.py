"""hpo compare and hpo show --curves, as a user types them."""

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
    sentences = [pair["sentence"] for pair in document["verdict"]["pairs"]]
    for text in ("2 studies on", "8 of one", "16 of two", "95 % interval", str(page), *sentences):
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


def test_the_curves_are_shown_on_demand_with_the_warnings(hpo: Hpo, xrays: Path) -> None:
    grid = (*GRID, "--data", xrays, "--study", "mine")
    hpo(*grid, "--timeout", "0.000001")
    assert hpo("show", "mine", "--curves", "--json").json["curves"] is None
    stuck = ("--epochs", "1", "--set", "learning_rate=0.000001")
    warnings = [line for line in hpo(*grid[:-1], "stuck", *stuck).out.splitlines()
                if line.startswith("Warning: ")]  # fmt: skip
    assert warnings
    assert len({line[:40] for line in warnings}) == len(warnings)
    hpo(*grid)
    assert "Learning curves" not in hpo("show", "mine").out
    assert "curves" not in hpo("show", "mine", "--json").json
    shown = hpo("show", "mine", "--curves")
    assert shown.code == 0
    for text in ("Learning curves", "epochs to", "fluctuation", "gap in accuracy, points"):
        assert text in shown.out
    assert "No significant difference in" in shown.out
    curves = hpo("show", "mine", "--target", "0.25", "--json").json["curves"]
    assert curves["target"] == {"accuracy": 0.25, "chosen": "as given"}
    assert curves["claims"][0]["about"].endswith("validation accuracy of 25 % or more")
    params = [c["params"] for c in curves["claims"][0]["configurations"]]
    assert params == [{"batch_size": 8}, {"batch_size": 16}]
