"""The short form of the simulation: verdicts claim rarely what is not there, and find what is."""

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.stats import compare_sweep

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
POWER = runpy.run_path(str(BENCHMARKS / "power.py"))
N_SWEEPS = 2000
# a rate of 5 % in 2,000 sweeps, and three standard errors for what another seed would bring
ALLOWED = 0.05 + 3 * np.sqrt(0.05 * 0.95 / N_SWEEPS)


@pytest.mark.parametrize(
    "name",
    [
        "normal scores, not counted",
        "five folds of 80 images",
        "folds of 80, 1 in 20 collapses",
        "the same 80 validation images",
        "the same 80, steady values",
        "measured, constant learning rate",
        "measured, cosine schedule",
        "measured, sometimes collapses",
    ],
)
def test_a_difference_that_is_not_there_is_rarely_claimed(name: str) -> None:
    rates = POWER["error_rates"](_scenario(name), n_sweeps=N_SWEEPS)
    assert max(rates.values()) <= ALLOWED
    assert set(rates) == {3, 5, 10, 20}


def test_repeats_that_share_training_images_would_be_taken_for_proof_without_overlap() -> None:
    folds = replace(POWER["FOLDS"], n_validation=80, repeat=0.2)
    wrong = POWER["error_rates"](replace(folds, overlap=0.0), n_sweeps=N_SWEEPS)
    assert wrong[20] > 0.2
    assert POWER["error_rates"](folds, n_sweeps=N_SWEEPS)[20] <= ALLOWED


def test_a_difference_that_is_there_is_found_the_more_often_the_more_repeats() -> None:
    powers = POWER["powers"](
        _scenario("the same 80 validation images"), worse_by=0.04, n_sweeps=500
    )
    assert powers[5] > 0.1
    assert powers[10] > 0.5
    assert powers[20] > 0.9


def test_the_simulation_judges_as_compare_sweep_does() -> None:
    scenario = replace(_scenario("folds of 80, 1 in 20 collapses"), fail=0.05)
    scores = POWER["simulate"](scenario, n_sweeps=40, worse_by=0.04)
    tests = POWER["judge"](scores, scenario, n_repeats=10)
    for sweep, is_real, p_value in zip(scores, tests.is_real, tests.p_value, strict=True):
        comparison = compare_sweep(dict(enumerate(sweep[:, :10])), overlap=scenario.overlap)
        assert [pair.is_real for pair in comparison.pairs] == list(is_real)
        assert [pair.p_value for pair in comparison.pairs] == pytest.approx(list(p_value))


def test_the_committed_error_rates_are_at_most_five_percent() -> None:
    document = json.loads((BENCHMARKS / "results" / "power.json").read_text())
    names = [row["scenario"] for row in document["error"]]
    assert names == [scenario.name for scenario in POWER["WITHOUT_DIFFERENCE"]]
    assert not [row for row in document["error"] if max(row["rates"].values()) > 0.05]


def _scenario(name: str) -> Any:
    return next(s for s in POWER["WITHOUT_DIFFERENCE"] if s.name == name)
