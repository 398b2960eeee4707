"""The CSV files of an export: every score, fresh repeats, curves and the battery."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.export import Exporter, export, folder_name
from hpo.retraining import Retrained
from hpo.score import SCORES
from hpo.search import Job
from tests.fake_studies import CHANGES, FakeStudy, add_finalists, fake_grid, fake_search


def untrained(_: Sequence[Job]) -> Retrained:
    raise StudyError("nothing is to be trained")


def exported(fake: FakeStudy, folder: Path) -> Path:
    exporter = Exporter(
        summary=fake.summary, runs=fake.runs, weights=folder / "weights", train=untrained
    )
    assert list(export(exporter, folder / "out", which="none")) == []
    return folder / "out"


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


@pytest.mark.parametrize("metric", SCORES)
def test_the_score_stands_beside_its_name_as_it_is(tmp_path: Path, metric: str) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=2, metric=metric)
    told = rows(exported(fake, tmp_path) / "configurations.csv")
    assert {row["metric"] for row in told} == {metric}
    means = [c.score.mean for c in fake.summary.configurations if c.score]
    assert [float(row["score"]) for row in told] == means
    assert [row["n_repeats"] for row in told] == ["2", "2", "2"]
    assert "fresh" not in told[0]


def test_finalists_have_their_fresh_means_and_others_none(tmp_path: Path) -> None:
    fake = add_finalists(fake_search(tmp_path / "runs", 14), 0.90, 0.95, 0.88)
    told = rows(exported(fake, tmp_path) / "configurations.csv")
    finalists = fake.summary.finalists
    assert finalists is not None
    fresh = {number: row for number, row in enumerate(told, start=1) if row["fresh"]}
    assert set(fresh) == {member.number for member in finalists.members}
    for member in finalists.members:
        row = fresh[member.number]
        assert float(row["fresh"]) == member.fresh.mean
        assert float(row["fresh_low"]) == member.fresh.low
        assert (row["n_repeats"], row["n_fresh"]) == ("1", "4")


def test_what_was_read_under_stress_is_exported(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1, metric="stress_accuracy")
    first = fake.summary.configurations[0]
    home = exported(fake, tmp_path) / folder_name(first)
    curves = rows(home / "curves-repeat-1.csv")
    assert [row["epoch"] for row in curves if row["stress_accuracy"]] == ["4", "8", "12"]
    assert float(curves[3]["stress_accuracy"]) == pytest.approx(first.repeats[0].reported[4])
    battery = rows(home / "stress-repeat-1.csv")
    assert [row["change"] for row in battery] == ["unchanged", *CHANGES]
    under = [float(row["accuracy"]) for row in battery[1:]]
    assert sum(under) / len(under) == pytest.approx(first.repeats[0].score)


def test_a_plain_study_has_no_files_and_columns_of_the_battery(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1)
    home = exported(fake, tmp_path) / folder_name(fake.summary.configurations[0])
    assert not list(home.glob("stress*"))
    assert not any(name.startswith("stress") for name in rows(home / "curves-repeat-1.csv")[0])
