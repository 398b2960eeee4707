"""The CSV files of an export: every score, fresh repeats, curves and the battery."""

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hpo.errors import OutputError, StudyError
from hpo.export import Exporter, export, folder_name
from hpo.run.reproduce import Retrained
from hpo.search import Job
from hpo.study.score import SCORES
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


def test_no_cell_is_a_formula_and_numbers_stay_numbers(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1)
    first, *others = fake.summary.configurations
    signs = ["=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "a;=1", "-0.5", "\x1b[2J", "a-b"]
    configurations = [
        replace(
            first,
            params={"batch_size": sign},
            repeats=tuple(replace(repeat, reason=sign) for repeat in first.repeats),
        )
        for sign in signs
    ]
    summary = replace(fake.summary, configurations=(*configurations, *others))
    exporter = Exporter(
        summary=replace(summary, record=replace(summary.record, names=("batch_size", "=1"))),
        runs=fake.runs,
        weights=tmp_path,
        train=untrained,
    )
    assert list(export(exporter, tmp_path / "out", which="none")) == []
    told = rows(tmp_path / "out" / "configurations.csv")
    shown = ["'=1+1", "'+1+1", "'-1+1", "'@SUM(1)", r"\t=1", r"\r=1", "a;'=1", "-0.5"]
    shown += [r"\x1b[2J", "a-b"]
    assert [row["batch_size"] for row in told[: len(signs)]] == shown
    assert "'=1" in told[0]
    failed = rows(tmp_path / "out" / "trials.csv")
    assert [row["reason"] for row in failed[: len(signs)]] == shown


@pytest.mark.parametrize("pattern", ["trials.csv", "*/config.json"])
def test_files_of_others_are_never_written_over(tmp_path: Path, pattern: str) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1)
    out = exported(fake, tmp_path)
    names = sorted(path.relative_to(out) for path in out.glob(pattern))
    shutil.rmtree(out)
    for path in (out / "notes.txt", *(out / name for name in names)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    before = files_in(out)
    n_files = "1 file" if len(names) == 1 else "3 files"
    with pytest.raises(OutputError, match=f"overwrite {n_files} in .*, first {names[0]}"):
        exported(fake, tmp_path)
    assert files_in(out) == before
    for name in names:
        (out / name).unlink()
    exported(fake, tmp_path)
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / names[0]).read_text() != "mine"


def test_an_export_is_repeated_until_somebody_changes_it(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1)
    out = exported(fake, tmp_path)
    first = files_in(out)
    configuration = fake.summary.configurations[0]
    again = fake.ask(configuration.params, configuration.config, 1)
    fake.complete(again, [0.9] * 12)
    exported(fake, tmp_path)
    assert files_in(out)["trials.csv"] != first["trials.csv"]
    (out / "trials.csv").write_text("my own column")
    with pytest.raises(OutputError, match=r"overwrite 1 file in .*, first trials\.csv"):
        exported(fake, tmp_path)
    assert (out / "trials.csv").read_text() == "my own column"


def test_the_list_of_what_was_exported_is_written_through_no_link(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1)
    (tmp_path / "out").mkdir()
    (tmp_path / "profile").write_text("mine")
    (tmp_path / "out" / ".hpo-files").symlink_to(tmp_path / "profile")
    with pytest.raises(OutputError):
        exported(fake, tmp_path)
    assert (tmp_path / "profile").read_text() == "mine"


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


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
