"""Suggested commands act on the right study in the right database."""

import shlex
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from hpo.report.sections import commands
from hpo.storage.url import DEFAULT_URL
from hpo.study.record import LIBRARY
from hpo.views.studies import notes
from tests.conftest import SMALL, Hpo
from tests.fake_studies import fake_grid

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "1", *SMALL)


@pytest.mark.parametrize("name", ["$(touch b)", "a b"])
def test_names_of_studies_are_quoted_in_suggested_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HPO_STORAGE", "sqlite:///b.db")
    summary = replace(fake_grid(tmp_path, ["batch_size"], n_repeats=1).summary, name=name)
    summary = replace(summary, url=DEFAULT_URL)
    offered = [text for text, _ in commands(summary)]
    command, *options = offered.pop().split(" --study ")
    assert command == summary.record.command
    assert shlex.split(*options) == [name, "--storage", DEFAULT_URL]
    offered.append(notes(summary, 1_000)[0].split("`")[3])
    for command in offered:
        program, _, study, *options = shlex.split(command)
        assert (program, study) == ("hpo", name)
        assert options[:2] == ["--storage", DEFAULT_URL]
    # A study made in Python has no such command.
    summary = replace(summary, record=replace(summary.record, command=LIBRARY))
    assert [text for text, _ in commands(summary)] == offered[:-1]


def test_the_suggested_delete_removes_the_right_study(hpo: Hpo, xrays: Path) -> None:
    named = (*GRID, "--data", xrays, "--study", "mine")
    other = ("--storage", "sqlite:///other/b.db")
    assert hpo(*named).code == hpo(*named, *other).code == 0
    refused = " ".join(hpo(*named, *other, "--seed", "3").err.split())
    offer = refused.rpartition("remove the old one: hpo ")[2]
    assert hpo(*shlex.split(offer), "--yes").code == 0
    assert hpo("show", "mine").code == 0
    assert hpo("show", "mine", *other).code == 1


def test_the_recorded_command_contains_arguments_and_environment(
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
