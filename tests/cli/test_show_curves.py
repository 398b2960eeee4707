"""hpo show STUDY --curves, as a user types it."""

from pathlib import Path

import pytest

from tests.conftest import SMALL, Hpo

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "2", *SMALL)


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
    curves = hpo("show", "mine", "--target", "0.25", "--json").json["curves"]
    assert curves["target"] == {"accuracy": 0.25, "chosen": "as given"}
    assert curves["claims"][0]["about"].endswith("validation accuracy of 25 % or more")
    params = [c["params"] for c in curves["claims"][0]["configurations"]]
    assert params == [{"batch_size": 8}, {"batch_size": 16}]


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
