"""hpo show STUDY --curves, as a user types it."""

from pathlib import Path

import pytest

from tests.conftest import SMALL, Hpo

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "2", *SMALL)


@pytest.fixture
def _mine(hpo: Hpo, xrays: Path) -> None:
    """A finished grid called mine."""
    hpo(*GRID, "--data", xrays, "--study", "mine")


@pytest.mark.usefixtures("_mine")
def test_the_curves_are_told_on_demand(hpo: Hpo) -> None:
    assert "Learning curves" not in hpo("show", "mine").out
    assert "curves" not in hpo("show", "mine", "--json").json
    shown = hpo("show", "mine", "--curves")
    assert shown.code == 0
    for text in ("Learning curves", "epochs to", "fluctuation", "gap in accuracy, points"):
        assert text in shown.out
    curves = hpo("show", "mine", "--curves", "--json").json["curves"]
    assert [c["params"] for c in curves["claims"][0]["configurations"]] == [
        {"batch_size": 8},
        {"batch_size": 16},
    ]


@pytest.mark.usefixtures("_mine")
def test_the_target_can_be_set(hpo: Hpo) -> None:
    curves = hpo("show", "mine", "--target", "0.25", "--json").json["curves"]
    assert curves["target"] == {"accuracy": 0.25, "chosen": "as given"}
    assert curves["claims"][0]["about"].endswith("validation accuracy of 25 % or more")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("mine", "--target", "93"), "write --target 0.93"),
        (("mine", "--target", "0"), "above 0"),
        (("--curves",), "hpo show STUDY --curves"),
    ],
)
def test_a_wrong_request_is_a_usage_error(
    hpo: Hpo, options: tuple[str, ...], message: str
) -> None:
    answer = hpo("show", *options)
    assert answer.code == 2
    assert message in answer.err


def test_a_study_without_a_score_has_no_curves(hpo: Hpo, xrays: Path) -> None:
    hpo(*GRID, "--data", xrays, "--study", "cut", "--timeout", "0.000001")
    assert hpo("show", "cut", "--curves", "--json").json["curves"] is None
    assert "Learning curves" not in hpo("show", "cut", "--curves").out
