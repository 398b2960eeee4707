"""--metric, --margin, --weights, --finalists and --with-baselines: what they record and count."""

from pathlib import Path

import pytest

from hpo.config import TrainingConfig
from hpo.run import sources
from hpo.space import Cell
from hpo.study import progress
from hpo.study.record import Goal, StudyRecord
from hpo.study.trials import Job, first_repeat
from tests.cli.conftest import DIVERGING, GRID, VALUES, assert_error
from tests.conftest import SMALL, Hpo

SEARCH = (
    *("search", "--param", "learning_rate", "--param", "dropout", "--pruner", "none"),
    *("--trials", "4", "--finalists", "2", "--final-repeats", "3", *SMALL),
)


def test_a_search_retrains_its_finalists_and_a_dry_run_counts_them(hpo: Hpo, xrays: Path) -> None:
    search = (*SEARCH, "--data", xrays, "--study", "mine", "--json")
    assert hpo(*search, "--dry-run").json["n_to_train"] == 4 + 2 * 3
    document = hpo(*search).json
    assert document["n_trained"] == 4 + 2 * 3
    finalists = document["finalists"]
    assert [f["fresh"]["n"] for f in finalists["configurations"]] == [3, 3]
    assert len(finalists["pairs"]) == 1
    fresh = [f["fresh"]["score"] for f in finalists["configurations"]]
    assert document["best"]["score"] == max(fresh)
    again = hpo(*search, "--dry-run").json
    assert (again["n_done"], again["n_to_train"]) == (10, 0)
    assert hpo(*search).json["n_trained"] == 0
    assert hpo(*search, "--final-repeats", "4").json["n_trained"] == 2
    assert len(hpo("evaluate", "mine", "--all", "--json").json["configurations"]) == 4


def test_runs_are_reused_for_every_metric_measured_in_them(hpo: Hpo, xrays: Path) -> None:
    grid = (*VALUES, *SMALL, "--repeats", "1", "--data", xrays, "--json")
    for metric, n_trained, better in (
        ("accuracy", 2, max),
        ("brier", 0, min),
        ("stress_auroc", 2, max),
        ("stress_log_loss", 0, min),
        ("auroc", 0, max),
    ):
        found = hpo(*grid, "--metric", metric).json
        assert (found["n_trained"], found["score"]["name"]) == (n_trained, metric)
        assert found["score"]["direction"] == f"{better.__name__}imize"
        assert found["best"]["score"] == better(c["score"] for c in found["configurations"])


@pytest.fixture
def small_bases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the networks of the course reports with two small ones."""
    small = TrainingConfig(image_size=16, hidden=(4,), batch_size=8, epochs=2)
    bases_by_name = {"report_b": small, "report_e": small.replace(dropout=0.1)}

    def jobs(record: StudyRecord, goal: Goal) -> list[Job]:
        bases = [
            first_repeat(record, Cell({}, config), ordinal=-n, report=name)
            for n, (name, config) in enumerate(bases_by_name.items(), start=1)
        ]
        n_repeats = goal.n_final_repeats if goal.with_baselines else 0
        return [b.with_repeat(1 + i) for b in bases for i in range(n_repeats)]

    for module in (sources, progress):
        monkeypatch.setattr(module, "report_jobs", jobs)


@pytest.mark.usefixtures("small_bases")
def test_course_networks_are_compared_and_keep_no_weights(hpo: Hpo, xrays: Path) -> None:
    found = hpo(*SEARCH, "--with-baselines", "--data", xrays, "--study", "mine", "--json").json
    assert found["n_trained"] == 4 + 2 * 3 + 2 * 3
    assert [base["report"] for base in found["reports"]] == ["report_b", "report_e"]
    assert all(base["comparison"]["n_pairs"] == 3 for base in found["reports"])
    assert len(found["configurations"]) == 4
    assert len(list(Path("studies/mine/weights").iterdir())) == 3
    tested = hpo("evaluate", "mine", "--json").json
    winner = f"#{found['finalists']['winner']}"
    assert [c["name"] for c in tested["configurations"]] == [winner, "report_b", "report_e"]
    compared = [(pair["a"], pair["b"]) for pair in tested["verdict"]["pairs"]]
    assert compared == [(winner, "report_b"), (winner, "report_e")]
    assert all(c["ensemble"]["n"] == 3 for c in tested["configurations"])


def test_a_search_of_an_exhausted_space_is_finished_with_a_note(hpo: Hpo, xrays: Path) -> None:
    few = ("search", "--param", "normalize", "--final-repeats", "1", *SMALL, "--data", xrays)
    answer = hpo(*few, "--trials", "9", "--study", "s")
    assert answer.code == 0
    assert "All 2 configurations of the space were tried" in answer.err
    assert "3 finalists were requested; 2 are available" in answer.out
    assert " of 9" not in hpo("show").out
    assert "hpo resume s" not in Path("studies/s/report.html").read_text()
    Path("two.toml").write_text(
        "[search]\nnormalize = { choices = ['unit', 'image'] }\n"
        "activation = { choices = ['relu', 'leaky_relu', 'gelu', 'sigmoid'] }\n"
    )
    random = ("--space", "two.toml", "--sampler", "random", "--finalists", "0")
    answer = hpo("search", *few[3:], *random, "--trials", "7", "--json")
    assert len(answer.json["configurations"]) < 7
    assert "of the space were tried" not in answer.err


def test_a_search_whose_trials_all_fail_exits_with_the_reason(hpo: Hpo, xrays: Path) -> None:
    Path("few.toml").write_text(
        "[base]\nlearning_rate = 10.0\n[search]\nbatch_size = { choices = [8, 16] }\n"
    )
    answer = hpo("search", *DIVERGING[7:], "--space", "few.toml", "--data", xrays)
    assert_error(answer, 1, "2 failed", "not finite", "Narrow the ranges")


def test_a_study_stores_its_margin_and_commands_can_override_it(hpo: Hpo, xrays: Path) -> None:
    grid = (*GRID, "--data", xrays, "--study", "mine")

    def margin(*command: object) -> object:
        return hpo(*command, "--json").json["score"]["margin"]

    assert [margin(*grid), margin(*grid, "--margin", "2"), margin(*grid)] == [0.01, 0.02, 0.02]
    assert margin("resume", "mine") == margin("show", "mine") == 0.02
    sentence = "The smallest difference that matters is {} points (--margin)."
    assert sentence.format(2) in hpo("show", "mine").out
    page = Path("studies/mine/report.html")
    assert sentence.format(2) in page.read_text()
    hpo("report", "mine", "--margin", "3")
    assert sentence.format(3) in page.read_text()
    assert margin("show", "mine", "--margin", "4") == 0.04
    assert margin("resume", "mine", "--margin", "5") == 0.05
    assert sentence.format(5) in page.read_text()

    hpo(*grid, "--study", "other", "--set", "learning_rate=0.01", "--margin", "5")
    both = ("compare", "mine", "other")
    assert margin(*both) == 0.05
    assert margin(*both, "--margin", "6") == 0.06
    assert margin(*both, "--metric", "brier") == 0.005
    hpo("resume", "other", "--margin", "1")
    assert margin(*both) == 0.01


def test_until_decided_adds_repeats_until_every_pair_is_decided(hpo: Hpo, xrays: Path) -> None:
    decide = (*GRID, "--data", xrays, "--until-decided", "--max-repeats", "7")
    forecast = hpo(*decide, "--dry-run").out
    assert "depends on the number of repeats needed to decide: 5 to 7." in forecast
    answer = hpo(*decide, "--metric", "log_loss", "--margin", "0.000001", "--json")
    (pair,) = answer.json["verdict"]["pairs"]
    n = len(answer.json["configurations"][0]["repeats"])
    assert (answer.code, n in (5, 7)) == (0, True)
    assert pair["answer"] != "undecided" or n == 7
    assert ("continuing to 7 repeats." in answer.err) == (n == 7)
    basis = "up to 2 times, so each interval is a 97.1 % interval. Their joint level is 95 %."
    assert basis in answer.json["verdict"]["basis"]
    assert "97.1 % interval" in pair["sentence"]
    again = hpo("resume", answer.json["study"], "--json").json
    assert (again["n_trained"], len(again["configurations"][0]["repeats"])) == (0, n)
    wide = hpo(*decide, "--metric", "log_loss", "--margin", "1", "--json").json["verdict"]
    assert [pair["answer"] for pair in wide["pairs"]] == ["same"]
    assert "all differences are below 1." in wide["headline"]


def test_repeats_are_compared_by_the_requested_weights(hpo: Hpo, xrays: Path) -> None:
    grid = (*GRID, "--data", xrays, "--study", "mine", "--metric", "log_loss")
    own = hpo(*grid, "--set", "weights=last", "--json").json["verdict"]
    shown = hpo("show", "mine", "--weights", "average").out
    assert "┃ average ┃" in shown
    assert "Compared by the log loss of the averaged weights." in shown
    other = hpo("show", "mine", "--weights", "average", "--json").json["verdict"]
    assert own["pairs"][0]["difference"] != other["pairs"][0]["difference"]
    assert hpo("show", "mine", "--json").json["verdict"] == own
    again = hpo(*grid, "--set", "weights=last", "--weights", "average", "--json").json
    assert (again["n_trained"], again["verdict"]) == (0, other)
    assert hpo("show", "mine", "--json").json["verdict"] == other
