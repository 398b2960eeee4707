from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from hpo.data.dataset import seal
from hpo.data.source import open_data
from hpo.study.baselines import baselines
from tests.conftest import SMALL, Hpo
from tests.training.together import make_data


def means(found: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    return {name: {m: fmean(values) for m, values in of.items()} for name, of in found.items()}


def test_every_fold_is_scored_and_equal_folds_alike() -> None:
    accuracies = baselines(make_data(60, 50), [0, 1, 0, 5, 6, 7])["logistic regression"][
        "accuracy"
    ]
    assert len(accuracies) == 6
    assert accuracies[0] == accuracies[2]
    assert len(set(accuracies)) > 1


def test_the_majority_class_scores_its_share_and_a_regression_learns() -> None:
    data = make_data(60, 50)
    found = baselines(data, [0, 1, 2])
    shares = [1 - data.labels[data.fold(i).validation].mean() for i in range(3)]
    assert found["majority class"]["accuracy"] == pytest.approx(shares)
    found = means(found)
    majority, regression = found["majority class"], found["logistic regression"]
    assert majority["accuracy"] == pytest.approx(np.mean(shares))
    assert regression["accuracy"] > majority["accuracy"] + 0.1
    assert (majority["balanced_accuracy"], majority["auroc"]) == (0.5, 0.5)
    assert regression["auroc"] > 0.9
    assert regression["log_loss"] < majority["log_loss"]


def test_the_baselines_of_a_search_use_the_folds_of_its_winner(hpo: Hpo, xrays: Path) -> None:
    search = (
        *("search", "--trials", "2", "--param", "dropout", *SMALL, "--metric", "accuracy"),
        *("--finalists", "2", "--final-repeats", "2", "--data", xrays, "--study", "s", "--quiet"),
    )
    hpo(*search, "--finalists", "0")
    sealed = seal(open_data(xrays))
    on_first = means(baselines(sealed, [0]))
    assert hpo("show", "s", "--json").json["baselines"] == on_first
    shown = hpo(*search)
    of_winner = means(baselines(sealed, [1, 2]))
    assert hpo("show", "s", "--json").json["baselines"] == of_winner
    searched, finalists = shown.out.split("Finalists, retrained")
    percent = f"{100 * of_winner['logistic regression']['accuracy']:.1f}"
    assert "logistic regression" not in searched
    rows = [line for line in finalists.splitlines() if "logistic regression" in line]
    assert rows
    assert all(percent in row for row in rows)
    page = Path("studies/s/report.html").read_text(encoding="utf-8")
    assert f"accuracy against {percent}" in page or "no better than always answering" in page
