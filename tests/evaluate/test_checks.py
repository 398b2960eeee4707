"""Checks of trainings warn of a broken model and are silent otherwise."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from hpo.data.dataset import CLASS_NAMES
from hpo.evaluate import checks
from hpo.evaluate.checks import check_study, check_trainings
from hpo.training.engine import Epoch, Run
from tests.conftest import assert_snapshot
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


BARE = replace(
    run(),
    epochs=(Epoch(learning_rate=1e-3, train={}, validation={}),),
    validation_probabilities=(),
)


STUCK = run(0.5, low=0.1, high=0.4)
OF_THREE = replace(run(0.3), validation_probabilities=((0.3, 0.1, 0.6), (0.2, 0.0, 0.8)))
# Repeats of one configuration, and the share of the majority class.
REPEATS: dict[str, tuple[list[Run], float | None]] = {
    "sound": ([run(0.95), run(0.96), run(0.97)], 0.5),
    "of 16 images all right, or half of them wrong": ([run(1.0, n=16), run(12 / 16, n=16)], 0.5),
    "of 16 images all right, much better": ([run(1.0, alike=0.82, n=16)], 0.5),
    "much better": ([run(72 / 80, alike=0.78, n=80)], 0.5),
    "much better, of six": ([run(0.9, alike=0.78, n=80)] + [run(0.95, n=80)] * 5, 0.5),
    "one right more than the majority": ([run(0.501 + 1 / N)], 0.5),
    "nothing on record": ([BARE], 0.5),
    "one answer": ([run(0.5, low=0.55, high=0.9)] * 2, 0.5),
    "one answer, hardly trained": ([run(0.5, low=0.52, high=0.56)], 0.5),
    "better than training": ([run(0.93, alike=0.82)], 0.5),
    "better than training, majority unknown": ([run(0.93, alike=0.82)], None),
    "as the majority": ([run(0.74), run(0.78), run(0.7)], 0.74),
    "collapsed": ([run(0.95), run(0.6), run(0.9), run(0.55)], 0.5),
    "threshold": ([run(0.95), run(0.6, auroc=0.97)], 0.5),
    "nothing learned": ([run(0.46, alike=0.35)], 0.5),
}


def test_warnings_are_one_line_with_numbers_and_chance_causes_none() -> None:
    lines = []
    for name, (runs, majority) in REPEATS.items():
        trainings = [("", i, one) for i, one in enumerate(runs, start=1)]
        lines += [name, *check_trainings(trainings, CLASS_NAMES, majority=majority)]
    many = [(f"batch_size {b}", n, STUCK) for b in range(9) for n in (1, 2, 3)]
    lines += ["many", *check_trainings(many, CLASS_NAMES, majority=0.5)]
    lines += ["of three", *check_trainings([("", 1, OF_THREE)], ("a", "b", "c"), majority=0.4)]
    assert_snapshot("signs", lines)


def test_an_undecided_sweep_gets_hints_for_steadier_scores(tmp_path: Path) -> None:
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


def test_every_check_has_a_section_in_the_docs() -> None:
    root = Path(__file__).parents[2]
    texts = [path.read_text() for path in (root / "hpo").rglob("*.py")]
    named = {name for text in texts for name in re.findall(r"checks\.md#([a-z-]+)\b", text)}
    named |= {name.replace(" ", "-") for name in checks._CHECKS}
    named |= {name for text in texts for name in re.findall(r"_SEE\.format\(.([a-z-]+).\)", text)}
    sections = re.findall(r"^## (.*)$", (root / "docs/checks.md").read_text(), flags=re.M)
    assert set(sections) == named
