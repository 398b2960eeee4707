"""Checks of trainings: signs of a broken model are said, and nothing where all is well."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpo.data.dataset import CLASS_NAMES
from hpo.evaluate import checks
from hpo.evaluate.checks import check_study, check_trainings
from hpo.storage.runs import Epoch, Run, RunStore
from hpo.study.gathering import summarize
from hpo.study.record import Goal
from tests.clocked_studies import Bench, record
from tests.fake_studies import fake_grid

N = 400


def run(
    validation: float = 0.95,
    *,
    alike: float = 0.96,
    low: float = 0.01,
    high: float = 0.99,
    n: int = N,
    auroc: float = 0.6,
) -> Run:
    """Return a run with these accuracies, and probabilities evenly between two bounds."""
    metrics = {"accuracy": validation, "auroc": auroc}
    return Run(
        epochs=(Epoch(learning_rate=1e-3, train={"accuracy": 0.7}, validation=metrics),),
        kept_epoch=1,
        train={"accuracy": alike},
        validation_probabilities=tuple(map(float, np.linspace(low, high, n))),
        test_probabilities=(),
        seconds=1.0,
        versions={},
    )


def said(*runs: Run, majority: float | None = 0.5) -> list[str]:
    """Return what is said of the repeats of one configuration."""
    trainings = [("", i, one) for i, one in enumerate(runs, start=1)]
    return check_trainings(trainings, CLASS_NAMES, majority=majority)


BARE = replace(
    run(),
    epochs=(Epoch(learning_rate=1e-3, train={}, validation={}),),
    validation_probabilities=(),
)


@pytest.mark.parametrize(
    "runs",
    [
        [run(0.95), run(0.96), run(0.97)],
        # Of 16 images a sound network may well get all right, or half wrong.
        [run(1.0, alike=0.82, n=16)],
        [run(1.0, n=16), run(12 / 16, n=16)],
        # The more trainings are looked at, the rarer a sign has to be.
        [run(72 / 80, alike=0.78, n=80)] + [run(0.95, n=80)] * 5,
        [run(0.501 + 1 / N)],
        [BARE],
    ],
)
def test_what_chance_may_give_is_no_sign(runs: list[Run]) -> None:
    assert said(*runs) == []


@pytest.mark.parametrize(
    ("runs", "majority", "words"),
    [
        ([run(0.5, low=0.55, high=0.9)] * 2, 0.5, [
            "Every validation image is classified as pneumonia (probabilities 0.550 to 0.900): "
            "repeats 1 and 2."]),
        ([run(0.93, alike=0.82)], 0.5, [
            "Validation (93.0 %) is far better than training (mean 82.0 %, without",
            "hpo data audit", "in less than 0.1 % of such studies"]),
        ([run(0.93, alike=0.82)], None, ["Validation (93.0 %) is far better than training"]),
        ([run(72 / 80, alike=0.78, n=80)], 0.5, ["by chance that happens in 0.4 % of"]),
        ([run(0.74), run(0.78), run(0.7)], 0.74, [
            "(70.0 to 74.0 %) is no better than always answering the commonest class (74.0 %)",
            "repeats 1 and 3", "10 points better", "by chance in less than 0.1 %"]),
        ([run(0.95), run(0.6), run(0.9), run(0.55)], 0.5, [
            "Training collapsed: repeats 2 and 4, with an accuracy of 55.0 to 60.0 %",
            "by chance in less than 0.1 % of such studies"]),
        ([run(0.95), run(0.6, auroc=0.97)], 0.5, [
            "The threshold of 0.5 does not fit, although the AUROC is above 0.8: repeat 2"]),
        # Of a model that learned nothing validation is not called better.
        ([run(0.46, alike=0.35)], 0.5, ["is no better than always answering"]),
    ],
)  # fmt: skip
def test_a_sign_is_one_line_with_its_numbers_and_its_chance(
    runs: list[Run], majority: float | None, words: list[str]
) -> None:
    (sentence,) = said(*runs, majority=majority)
    assert all(word in sentence for word in words), sentence


def test_one_answer_of_three_classes_is_named_with_its_own_probabilities() -> None:
    rows = ((0.3, 0.1, 0.6), (0.2, 0.0, 0.8))
    one = replace(run(0.3), validation_probabilities=rows)
    (sentence,) = check_trainings([("", 1, one)], ("a", "b", "c"), majority=0.4)
    assert "classified as c (probabilities 0.600 to 0.800): repeat 1." in sentence


def test_a_line_names_configurations_and_repeats() -> None:
    stuck = run(0.5, low=0.1, high=0.4)
    trainings = [(f"batch_size {b}", n, stuck) for b in range(9) for n in (1, 2, 3)]
    (sentence,) = check_trainings(trainings, CLASS_NAMES, majority=0.5)
    assert "batch_size 0 (repeats 1, 2 and 3), batch_size 1 (repeats 1, 2 and 3)" in sentence
    assert "and 3 more configurations. Lower learning_rate" in sentence
    assert sentence.endswith("(docs/checks.md#one-class).")


def test_every_configuration_of_a_grid_is_checked_and_of_a_search_the_best(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    grid = bench.study(record(), "grid")
    bench.train(grid, Goal(2))
    found = check_study(summarize(grid, storage_url="sqlite:///hpo.db"), bench.runs)
    # The clocked engine gives every image the same probability.
    assert all(f"batch_size {n} (repeats 1 and 2)" in found[0] for n in (16, 32, 64))
    search = bench.study(record("search", "learning_rate", "scheduler", "step_size"), "search")
    bench.train(search, Goal(1, 4))
    summary = summarize(search, storage_url="sqlite:///hpo.db")
    assert summary.best is not None
    of_best = check_study(summary, bench.runs)
    assert of_best
    assert all(f"#{summary.best.number} (repeat 1)" in sign for sign in of_best)
    assert check_study(summary, RunStore(tmp_path / "nothing")) == []


def test_an_undecided_sweep_is_told_what_makes_scores_vary_less(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"], n_repeats=2)
    summary = fake.summary
    record = replace(summary.record, margin=0.001)
    pairs = (replace(summary.verdict.pairs[0], answer="undecided"),)
    undecided = replace(summary, record=record, verdict=replace(summary.verdict, pairs=pairs))
    found = check_study(undecided, fake.runs)
    assert [check for check in ("few-images", "unsteady") if f"#{check})." in "".join(found)] == [
        "few-images",
        "unsteady",
    ]
    base = record.space.base.replace(scheduler="cosine")
    steady = replace(undecided, record=replace(record, space=replace(record.space, base=base)))
    assert "unsteady" not in "".join(check_study(steady, fake.runs))
    decided = replace(undecided, verdict=replace(summary.verdict, pairs=()))
    assert "few-images" not in "".join(check_study(decided, fake.runs))


def test_every_check_has_its_section_in_the_docs() -> None:
    root = Path(__file__).parents[2]
    texts = [path.read_text() for path in (root / "hpo").rglob("*.py")]
    named = {name for text in texts for name in re.findall(r"checks\.md#([a-z-]+)\b", text)}
    named |= {name.replace(" ", "-") for name in checks._CHECKS}
    named |= {name for text in texts for name in re.findall(r"_SEE\.format\(.([a-z-]+).\)", text)}
    sections = re.findall(r"^## (.*)$", (root / "docs/checks.md").read_text(), flags=re.M)
    assert set(sections) == named
