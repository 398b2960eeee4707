"""Commands that a message offers act on the study it is about, in its own database."""

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from hpo.errors import HpoError, OutputError
from hpo.evaluate.studies import compare
from hpo.export import export
from hpo.report.page import write_comparison
from hpo.report.sections import commands
from hpo.storage.url import DEFAULT_URL
from hpo.study import study as studies
from hpo.study.gathering import summarize
from hpo.study.record import LIBRARY
from hpo.views.studies import notes
from tests.clocked_studies import Bench, record
from tests.conftest import SMALL, Hpo
from tests.fake_studies import fake_grid

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "1", *SMALL)


def create_another(study: optuna.Study, _: Bench) -> None:
    studies.check_fits(study, replace(record(), seed=3))


def export_unfinished(study: optuna.Study, bench: Bench) -> None:
    summary, folder = summarize(study, storage_url=bench.url), bench.folder
    list(export(summary, folder / "out", runs=bench.runs, weights=folder, train=lambda _: {}))


def open_misspelled(_: optuna.Study, bench: Bench) -> None:
    studies.open_study(bench.storage, "studi")


@pytest.mark.parametrize(
    ("fail", "offer"),
    [
        (create_another, "hpo delete study{}"),
        (export_unfinished, "hpo resume study{}"),
        (open_misspelled, "`hpo show{}`"),
    ],
)
def test_a_message_names_the_database_of_its_study(
    tmp_path: Path, fail: Callable[[optuna.Study, Bench], None], offer: str
) -> None:
    bench = Bench(tmp_path)
    study = bench.study(record())
    with pytest.raises(HpoError) as error:
        fail(study, bench)
    assert offer.format(f" --storage {bench.url}") in str(error.value)


def test_a_page_that_cannot_be_written_is_compared_again_in_its_database(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1)
    summary = replace(fake.summary, storage="sqlite:///b.db")
    comparison = compare([summary, replace(summary, name="other")])
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"hpo compare fake other --storage sqlite:///b\.db"):
        write_comparison(comparison, fake.runs, tmp_path / "file" / "page.html")


@pytest.mark.parametrize("name", ["$(touch b)", "a b"])
def test_whatever_a_study_is_called_its_name_is_one_word_of_an_offered_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HPO_STORAGE", "sqlite:///b.db")
    summary = replace(fake_grid(tmp_path, ["batch_size"], n_repeats=1).summary, name=name)
    summary = replace(summary, storage=DEFAULT_URL)
    offered = [text for text, _ in commands(summary)]
    assert offered.pop() == summary.record.command
    offered.append(notes(summary, 1_000)[0].split("`")[3])
    for command in offered:
        program, _, study, *options = shlex.split(command)
        assert (program, study) == ("hpo", name)
        assert options[:2] == ["--storage", DEFAULT_URL]
    # One that was made in Python has no command that made it.
    summary = replace(summary, record=replace(summary.record, command=LIBRARY))
    assert [text for text, _ in commands(summary)] == offered[:-1]


def test_the_offered_delete_removes_the_study_it_is_about(hpo: Hpo, xrays: Path) -> None:
    named = (*GRID, "--data", xrays, "--study", "mine")
    other = ("--storage", "sqlite:///other/b.db")
    assert hpo(*named).code == hpo(*named, *other).code == 0
    refused = " ".join(hpo(*named, *other, "--seed", "3").err.split())
    offer = refused.rpartition("remove the old one: hpo ")[2]
    assert hpo(*shlex.split(offer), "--yes").code == 0
    assert hpo("show", "mine").code == 0
    assert hpo("show", "mine", *other).code == 1


def test_the_recorded_command_holds_what_was_typed_and_what_the_environment_gave(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"DATA": str(xrays), "SPACE": "report_a", "STORAGE": "sqlite:///b.db"}
    typed = (*GRID, "--data", str(xrays), "--study", "mine")
    with monkeypatch.context() as environment:
        for name, value in given.items():
            environment.setenv(f"HPO_{name}", value)
        first = hpo(*GRID, "--json").json
        hpo(*typed)
    commands = {
        name: optuna.load_study(study_name=name, storage=given["STORAGE"]).user_attrs["hpo"]
        for name in (first["study"], "mine")
    }
    again = hpo(*shlex.split(commands[first["study"]]["command"])[1:]).json
    assert (again["study"], again["n_trained"]) == (first["study"], 0)
    from_environment = ["--space", "report_a", "--storage", "sqlite:///b.db"]
    assert shlex.split(commands["mine"]["command"]) == ["hpo", *typed, *from_environment]
