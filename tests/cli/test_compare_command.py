"""hpo compare and hpo show --curves, as a user types them."""

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import GRID, OUT_OF_TIME, assert_error
from tests.conftest import Hpo, make_images


@pytest.mark.usefixtures("mine")
def test_compare_writes_table_page_and_json_or_refuses_other_data(hpo: Hpo, xrays: Path) -> None:
    hpo(*GRID, "--data", xrays, "--study", "two", "--set", "learning_rate=0.01")
    document = hpo("compare", "mine", "two", "--json").json
    names = ["8 of mine", "16 of mine", "8 of two", "16 of two"]
    assert [c["name"] for c in document["configurations"]] == names
    assert [pair["n_pairs"] for pair in document["verdict"]["pairs"]] == [2] * 4
    page = Path("studies/compare-mine-two.html")
    assert document["report"] == str(page)
    assert page.read_text().startswith("<!DOCTYPE html>")
    shown = hpo("compare", "mine", "two").out
    sentences = [pair["sentence"] for pair in document["verdict"]["pairs"]]
    for text in ("2 studies on", *names, "95 % interval", str(page), *sentences):
        assert text in shown
    assert len(hpo("compare", "mine", "two", "--best", "--json").json["configurations"]) == 2

    page.unlink()
    page.mkdir()
    assert_error(hpo("compare", "mine", "two"), 1, "hpo compare mine two")
    np.save(xrays / "normal.npy", make_images(41, is_ill=False, seed=9))
    hpo(*GRID, "--data", xrays.rename(xrays.parent / "other"), "--study", "three")
    assert_error(hpo("compare", "mine", "three"), 1, "different data", "three: other")


@pytest.mark.usefixtures("mine")
def test_learning_curves_are_shown_on_request(hpo: Hpo, xrays: Path) -> None:
    hpo(*GRID, "--data", xrays, "--study", "begun", *OUT_OF_TIME)
    assert hpo("show", "begun", "--curves", "--json").json["curves"] is None
    assert "Learning curves" not in hpo("show", "mine").out
    assert "curves" not in hpo("show", "mine", "--json").json
    shown = hpo("show", "mine", "--curves").out
    for text in ("Learning curves", "epochs to", "fluctuation", "gap in accuracy, points"):
        assert text in shown
    assert "No significant difference in" in shown
    curves = hpo("show", "mine", "--target", "0.25", "--json").json["curves"]
    assert curves["target"] == {"accuracy": 0.25, "chosen": "the given target"}
    params = [c["params"] for c in curves["claims"][0]["configurations"]]
    assert params == [{"batch_size": 8}, {"batch_size": 16}]
