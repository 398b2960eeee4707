"""--metric, --finalists and --with-baselines: what they record, count and refuse."""

from pathlib import Path

import pytest

from hpo.config import TrainingConfig
from hpo.search import tpe
from hpo.space import Cell
from hpo.study import progress
from hpo.study.record import Goal, StudyRecord
from hpo.study.trials import Job, first_repeat
from tests.conftest import SMALL, Hpo

STRESSED = ("--set", "image_size=16", "--set", "hidden=8", "--epochs", "2")
SEARCH = (
    *("search", "--param", "learning_rate", "--param", "dropout", "--pruner", "none"),
    *("--trials", "4", *SMALL),
)
FINAL = ("--finalists", "2", "--final-repeats", "3")


def test_a_search_ends_with_its_finalists_which_a_dry_run_counts(hpo: Hpo, xrays: Path) -> None:
    search = (*SEARCH, *FINAL, "--data", xrays, "--study", "mine", "--json")
    assert hpo(*search, "--dry-run").json["n_to_train"] == 4 + 2 * 3
    answer = hpo(*search)
    assert answer.code == 0
    assert answer.json["n_trained"] == 4 + 2 * 3
    finalists = answer.json["finalists"]
    assert [f["fresh"]["n"] for f in finalists["configurations"]] == [3, 3]
    assert len(finalists["pairs"]) == 1
    fresh = [f["fresh"]["score"] for f in finalists["configurations"]]
    assert answer.json["best"]["score"] == max(fresh)
    found = hpo(*search, "--dry-run").json
    assert (found["n_done"], found["n_to_train"]) == (10, 0)
    assert hpo(*search).json["n_trained"] == 0
    assert hpo(*search, "--final-repeats", "4").json["n_trained"] == 2


@pytest.mark.parametrize(
    ("metric", "direction"),
    [("auroc", "maximize"), ("log_loss", "minimize"), ("stress_brier", "minimize")],
)
def test_a_grid_by_another_metric_says_so(
    hpo: Hpo, xrays: Path, metric: str, direction: str
) -> None:
    grid = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "2", *STRESSED)
    answer = hpo(*grid, "--data", xrays, "--metric", metric, "--json")
    assert answer.json["score"].items() >= {"name": metric, "direction": direction}.items()
    means = [c["score"] for c in answer.json["configurations"]]
    expected = max(means) if direction == "maximize" else min(means)
    assert answer.json["best"]["score"] == expected
    again = hpo(*grid, "--data", xrays, "--metric", metric, "--json").json
    assert (again["n_trained"], again["study"]) == (0, answer.json["study"])


def test_runs_serve_every_plain_metric_and_stress_only_where_it_was_measured(
    hpo: Hpo, xrays: Path
) -> None:
    grid = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "1", *STRESSED)
    grid = (*grid, "--data", xrays, "--json")
    assert hpo(*grid, "--metric", "accuracy").json["n_trained"] == 2
    assert hpo(*grid, "--metric", "brier").json["n_trained"] == 0
    assert hpo(*grid, "--metric", "stress_auroc").json["n_trained"] == 2
    assert hpo(*grid, "--metric", "stress_brier").json["n_trained"] == 0
    assert hpo(*grid, "--metric", "auroc").json["n_trained"] == 0


@pytest.fixture
def small_bases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put two small networks in the place of the reports' own."""
    small = TrainingConfig(image_size=16, hidden=(4,), batch_size=8, epochs=2)
    bases_by_name = {"report_b": small, "report_e": small.replace(dropout=0.1)}

    def jobs(record: StudyRecord, goal: Goal) -> list[Job]:
        bases = [
            first_repeat(record, Cell({}, config), ordinal=-n, report=name)
            for n, (name, config) in enumerate(bases_by_name.items(), start=1)
        ]
        n_repeats = goal.n_final_repeats if goal.with_baselines else 0
        return [b.with_repeat(1 + i) for b in bases for i in range(n_repeats)]

    for module in (tpe, progress):
        monkeypatch.setattr(module, "report_jobs", jobs)


@pytest.mark.usefixtures("small_bases")
def test_baselines_stand_beside_the_winner_and_leave_no_weights(hpo: Hpo, xrays: Path) -> None:
    named = (*SEARCH, *FINAL, "--with-baselines", "--data", xrays, "--study", "mine")
    answer = hpo(*named, "--json")
    assert answer.code == 0
    assert answer.json["n_trained"] == 4 + 2 * 3 + 2 * 3
    assert [base["report"] for base in answer.json["reports"]] == ["report_b", "report_e"]
    assert all(base["comparison"]["n_pairs"] == 3 for base in answer.json["reports"])
    assert len(answer.json["configurations"]) == 4
    assert len(list(Path("studies/mine/weights").iterdir())) == 3
    tested = hpo("evaluate", "mine", "--json").json
    winner = f"#{answer.json['finalists']['winner']}"
    assert [c["name"] for c in tested["configurations"]] == [winner, "report_b", "report_e"]
    compared = [(pair["a"], pair["b"]) for pair in tested["verdict"]["pairs"]]
    assert compared == [(winner, "report_b"), (winner, "report_e")]
    assert all(c["ensemble"]["n"] == 3 for c in tested["configurations"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--metric", "stress_acuracy"), ("stress_acuracy", "Did you mean stress_accuracy?")),
        (
            ("--set", "image_size=12", "--metric", "stress_accuracy"),
            ("image_size may be 12", "--metric accuracy"),
        ),
        (("--finalists", "-1"), ("--finalists takes",)),
        (("--finalists", "2", "--final-repeats", "0"), ("--final-repeats takes",)),
    ],
)
def test_wrong_scores_and_finalists_are_refused(
    hpo: Hpo, xrays: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    answer = hpo("search", "--param", "learning_rate", "--data", xrays, *options)
    assert answer.code == 2
    assert all(word in answer.err for word in words)


def test_another_metric_of_an_existing_study_is_refused(hpo: Hpo, xrays: Path) -> None:
    named = (*SEARCH, "--finalists", "0", "--data", xrays, "--study", "mine")
    hpo(*named, "--metric", "accuracy")
    answer = hpo(*named, "--metric", "auroc")
    assert answer.code == 1
    assert "--metric: accuracy there, auroc here" in answer.err


def test_a_space_that_is_exhausted_says_so(hpo: Hpo, xrays: Path, tmp_path: Path) -> None:
    space = tmp_path / "few.toml"
    space.write_text("[base]\n[search]\nbatch_size = { choices = [8, 16] }\n")
    search = ("search", "--trials", "9", "--finalists", "5", "--final-repeats", "1", *SMALL)
    answer = hpo(*search, "--space", space, "--data", xrays)
    assert answer.code == 0
    assert "All 2 configurations of the space were tried" in answer.err
    assert "5 finalists were requested; 2 are available" in answer.out


def test_a_search_where_nothing_comes_to_its_end_fails_with_the_reason(
    hpo: Hpo, xrays: Path, tmp_path: Path
) -> None:
    space = tmp_path / "few.toml"
    space.write_text(
        "[base]\nlearning_rate = 10.0\n[search]\nbatch_size = { choices = [8, 16] }\n"
    )
    diverging = (
        *("--set", "optimizer=sgd", "--set", "normalize=none", "--set", "batch_norm=false"),
        *("--set", "image_size=16", "--set", "hidden=64-64-64", "--epochs", "3"),
    )
    answer = hpo("search", *diverging, "--space", space, "--data", xrays)
    assert answer.code == 1
    assert "2 failed" in answer.err
    assert "not finite" in answer.err
