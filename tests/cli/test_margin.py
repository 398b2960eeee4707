"""--margin: the smallest difference that matters, of a study and of what is shown."""

from pathlib import Path

import pytest

from tests.conftest import SMALL, Hpo

GRID = ("grid", "--param", "batch_size", "--values", "8,16", *SMALL)


def test_a_study_remembers_its_margin_and_commands_that_show_take_another(
    hpo: Hpo, xrays: Path
) -> None:
    grid = (*GRID, "--data", xrays, "--repeats", "2", "--study", "mine", "--json")
    assert hpo(*grid).json["score"]["margin"] == 0.01
    assert hpo(*grid, "--margin", "2").json["score"]["margin"] == 0.02
    for command in (grid, ("resume", "mine", "--json"), ("show", "mine", "--json")):
        assert hpo(*command).json["score"]["margin"] == 0.02
    said = "The smallest difference that matters is {} points (--margin)."
    assert said.format(2) in hpo("show", "mine").out
    page = Path("studies/mine/report.html")
    assert said.format(2) in page.read_text()
    hpo("report", "mine", "--margin", "3")
    assert said.format(3) in page.read_text()
    assert hpo("show", "mine", "--margin", "4", "--json").json["score"]["margin"] == 0.04
    assert hpo("resume", "mine", "--margin", "5", "--json").json["score"]["margin"] == 0.05
    assert said.format(5) in page.read_text()

    hpo(*grid[:-2], "other", "--set", "learning_rate=0.01", "--margin", "5")
    both = ("compare", "mine", "other", "--json")
    assert hpo(*both).json["score"]["margin"] == 0.05
    assert hpo(*both, "--margin", "6").json["score"]["margin"] == 0.06
    assert hpo(*both, "--metric", "brier").json["score"]["margin"] == 0.005
    hpo("resume", "other", "--margin", "1")
    assert hpo(*both).json["score"]["margin"] == 0.01


def test_a_sweep_is_decided_by_its_margin(hpo: Hpo, xrays: Path) -> None:
    decide = ("--until-decided", "--max-repeats", "5", "--metric", "log_loss", "--json")
    found = hpo(*GRID, "--data", xrays, *decide, "--margin", "1").json
    assert [pair["answer"] for pair in found["verdict"]["pairs"]] == ["same"]
    assert "all differences are below 1." in found["verdict"]["headline"]
    found = hpo(*GRID, "--data", xrays, *decide, "--margin", "0.000001").json
    assert [pair["answer"] for pair in found["verdict"]["pairs"]] != ["same"]


@pytest.mark.parametrize("margin", ["0", "-1", "nan", "51", "inf"])
def test_what_is_no_margin_is_refused_in_one_message(hpo: Hpo, xrays: Path, margin: str) -> None:
    answer = hpo(*GRID, "--data", xrays, "--margin", margin)
    assert answer.code == 2
    assert answer.err == (
        "Error: --margin takes a difference in accuracy above 0, at most 50 points, but got "
        f"{margin}. The default is --margin 1.\n"
    )


def test_a_margin_needs_a_study(hpo: Hpo) -> None:
    answer = hpo("show", "--margin", "2")
    assert answer.code == 2
    assert "hpo show STUDY --margin" in answer.err


def test_repeats_are_compared_by_the_weights_that_are_asked_for(hpo: Hpo, xrays: Path) -> None:
    grid = (*GRID, "--data", xrays, "--repeats", "2", "--study", "mine", "--metric", "log_loss")
    own = hpo(*grid, "--set", "weights=last", "--json").json["verdict"]
    shown = hpo("show", "mine", "--weights", "average")
    assert "┃ average ┃" in shown.out
    assert "Compared by the log loss of the averaged weights." in shown.out
    other = hpo("show", "mine", "--weights", "average", "--json").json["verdict"]
    assert own["pairs"][0]["difference"] != other["pairs"][0]["difference"]
    assert hpo("show", "mine", "--json").json["verdict"] == own
    again = hpo(*grid, "--set", "weights=last", "--weights", "average", "--json").json
    assert (again["n_trained"], again["verdict"]) == (0, other)
    assert hpo("show", "mine", "--json").json["verdict"] == other
