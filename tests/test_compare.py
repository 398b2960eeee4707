"""Comparison of studies: which repeats are paired, what is compared, what is refused."""

import json
import random
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from hpo import space
from hpo.errors import StudyError, UsageError
from hpo.evaluate.studies import Comparison, compare, to_document
from hpo.report.page import render_comparison
from hpo.storage.runs import RunStore
from hpo.study.record import Goal
from hpo.study.summary import StudySummary
from tests.fake_studies import (
    PHANTOM,
    FakeStudy,
    add_finalists,
    fake_grid,
    fake_record,
    fake_search,
)

RATES = {"one": 1e-3, "two": 1e-2}


def grid(
    folder: Path, name: str, *tops: float, n_repeats: int = 5, first_seed: int = 0
) -> StudySummary:
    """Return a grid over the batch size whose values score around the tops.

    Each study has its own learning rate: equal configurations would be the same trainings.
    """
    record = replace(fake_record("grid", ["batch_size"]), seed=first_seed)
    fake = FakeStudy(record, RunStore(folder / name), Goal(n_repeats), name=name)
    chance = random.Random(name)
    cells = space.cells(record.space, record.names)
    for cell, top in zip(cells, tops, strict=False):
        config = cell.config.replace(learning_rate=RATES[name])
        for repeat in range(n_repeats):
            trial = fake.ask(cell.params, config, first_seed + repeat)
            score = round(400 * (top + chance.gauss(0, 0.003))) / 400
            fake.complete(trial, [0.8, score])
    return fake.summary


def names(comparison: Comparison) -> list[str]:
    return [entry.name for entry in comparison.entries]


def test_configurations_of_two_studies_are_compared_across_but_not_within(tmp_path: Path) -> None:
    both = compare([grid(tmp_path, "one", 0.9, 0.91), grid(tmp_path, "two", 0.95, 0.95)])
    assert names(both) == ["32 of one", "64 of one", "32 of two", "64 of two"]
    assert {(pair.a, pair.b) for pair in both.verdict.pairs} == {
        (a, b) for a in ("32 of one", "64 of one") for b in ("32 of two", "64 of two")
    }
    document = json.loads(json.dumps(to_document(both)))
    assert document["studies"] == ["one", "two"]
    assert document["data"]["fingerprint"] == "0123456789abcdef"
    assert [c["study"] for c in document["configurations"]] == ["one", "one", "two", "two"]
    pair = both.verdict.pairs[0]
    assert document["verdict"]["pairs"][0]["is_real"] is pair.is_real is True
    assert pair.sentence.startswith("32 of two is better than 32 of one by ")
    assert both.best.name in ("32 of two", "64 of two")


def test_repeats_are_paired_by_seed_and_not_by_position(tmp_path: Path) -> None:
    one = grid(tmp_path, "one", 0.90)
    both = compare([one, grid(tmp_path, "two", 0.95, first_seed=2, n_repeats=4)])
    (pair,) = both.verdict.pairs
    assert pair.n_pairs == 3
    first, other = (
        {r.seed: r.score or 0.0 for r in entry.configuration.repeats} for entry in both.entries
    )
    assert pair.difference == pytest.approx(fmean(other[n] - first[n] for n in (2, 3, 4)))
    both = compare([one, grid(tmp_path / "later", "two", 0.95, first_seed=5)])
    assert "their repeats do not pair up" in both.verdict.pairs[0].sentence
    assert "one (seeds 0 to 4) and two (seeds 5 to 9) are not paired" in " ".join(both.notes)


def test_with_a_given_validation_split_the_fold_does_not_matter(tmp_path: Path) -> None:
    one, two = grid(tmp_path, "one", 0.9), grid(tmp_path, "two", 0.95)
    (c,) = two.configurations
    other_folds = tuple(replace(r, fold=r.fold + 5) for r in c.repeats)
    two = replace(two, configurations=(replace(c, repeats=other_folds),))
    assert compare([one, two]).verdict.pairs[0].n_pairs == 0
    data = replace(one.record.data, has_own_validation=True)
    own = [replace(s, record=replace(s.record, data=data)) for s in (one, two)]
    assert compare(own).verdict.pairs[0].n_pairs == 5


def test_other_devices_are_noted_and_other_data_or_empty_studies_refused(tmp_path: Path) -> None:
    one, two = grid(tmp_path, "one", 0.9), grid(tmp_path, "two", 0.9)
    two = replace(two, record=replace(two.record, device="cuda:0"))
    assert "one on cpu bf16, two on cuda:0 bf16" in " ".join(compare([one, two]).notes)
    phantom = fake_grid(tmp_path, ["batch_size"], n_repeats=2, data=PHANTOM).summary
    with pytest.raises(StudyError) as failure:
        compare([one, phantom])
    for text in ("one: chest_xray", "fingerprint 01234567", "fake: phantom", "fedcba98"):
        assert text in str(failure.value)
    empty = FakeStudy(one.record, RunStore(tmp_path), Goal(5), name="empty")
    with pytest.raises(StudyError, match="hpo resume empty"):
        compare([one, empty.summary])


def test_studies_with_different_metrics_are_compared_by_accuracy(tmp_path: Path) -> None:
    search = fake_search(tmp_path / "a", 14, metric="stress_accuracy")
    sought = add_finalists(search, 0.90, 0.95, 0.88).summary
    swept = fake_grid(tmp_path / "b", ["batch_size"]).summary
    both = compare([swept, sought], best=True)
    assert both.score.name == to_document(both)["score"]["name"] == "accuracy"
    _, other = both.entries
    assert sought.best is not None
    assert other.configuration.number == sought.best.number
    assert other.configuration.judged_score
    accuracies = [r.validation("accuracy") or 0.0 for r in sought.best.judged]
    assert other.configuration.judged_score.mean == pytest.approx(fmean(accuracies))
    (pair,) = both.verdict.pairs
    assert pair.n_pairs == 4
    assert "Compared by validation accuracy. Chosen by another score: " in both.notes[0]
    assert "search-1 by accuracy under stress" in both.notes[0]
    page = render_comparison(both, RunStore(tmp_path / "b"))
    assert f"#{sought.best.number} of search-1: " in page
    twins = [sought, replace(sought, name="twin")]
    (best, _) = compare(twins, metric="stress_brier").entries
    (other, _) = compare(twins, metric="stress_log_loss").entries
    assert best.configuration.judged_score.mean == pytest.approx(
        other.configuration.judged_score.mean / 3
    )
    with pytest.raises(StudyError, match="has no stress_brier on record"):
        compare([swept, sought], metric="stress_brier")
    with pytest.raises(UsageError, match="--metric cannot be"):
        compare([swept, sought], metric="f1")
