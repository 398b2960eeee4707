"""Short forms of commands: names without options, short names of studies, Tab, -h, --open."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from hpo.cli.app import app
from tests.cli.conftest import VALUES, assert_error
from tests.conftest import SMALL, Answer, Hpo

COMMANDS = sorted(str(command.callback.__name__) for command in app.registered_commands)


@pytest.mark.parametrize(
    "typed",
    [
        ("sweep", "batch_size=8,16"),
        ("grid", "--param", "batch_size", "batch_size", "--values", "batch_size=8,16"),
    ],
)
def test_all_spellings_of_a_sweep_name_the_same_study(
    hpo: Hpo, xrays: Path, typed: tuple[str, ...]
) -> None:
    dry = ("--data", xrays, *SMALL, "--dry-run", "--json")
    expected = hpo(*VALUES, *dry).json
    assert hpo(*typed, *dry).json["study"] == expected["study"]


@pytest.mark.usefixtures("mine")
def test_a_study_is_found_by_prefix_number_or_latest(hpo: Hpo, xrays: Path) -> None:
    other = (*VALUES, "--repeats", "1", *SMALL, "--data", xrays, "--study", "mint")
    assert hpo(*other).code == 0
    for short, name in (("mine", "mine"), ("1", "mine"), ("2", "mint"), ("latest", "mint")):
        assert hpo("show", short, "--json").json["study"] == name
    assert hpo("show", "mint").out == hpo("show", "latest").out
    assert_error(hpo("show", "mi"), 1, "'mi' matches 2 studies: mine, mint.")
    for command in (["report"], ["export", "--no-weights"], ["resume", "--json"]):
        answer = hpo(*command, "1")
        assert (answer.code, "studies/1" in answer.out) == (0, False)
    assert hpo("compare", "1", "2", "--json").json["report"] == "studies/compare-mine-mint.html"
    listed = hpo("show").out
    assert [row.split("│")[1].strip() for row in listed.splitlines() if "│ mi" in row] == [
        "1",
        "2",
    ]
    assert all(word in listed for word in ("started", "accuracy", "trainings", "20"))
    assert hpo("show", "--json").json["studies"][1]["number"] == 2


@pytest.mark.parametrize("command", [*COMMANDS, "data audit", "data info", "data generate"])
def test_every_help_page_has_an_example_and_flags_without_a_type(hpo: Hpo, command: str) -> None:
    text = hpo(*command.split(), "-h").out
    assert f"hpo {'grid' if command == 'sweep' else command} " in text.split("Example")[1]
    assert "<bool>" not in text
    assert "{" not in text
    if "--dry-run" in text:
        assert "─ Options ─" not in text


def test_open_shows_the_page_in_the_browser(
    hpo: Hpo, mine: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Mock(return_value=False)
    monkeypatch.setattr("webbrowser.open", opened)
    assert "No browser was found" in hpo("report", "mine", "--open").err
    opened.assert_called_once_with(Path(mine.json["report"]).resolve().as_uri())
    hpo("resume", "mine", "--open")
    assert opened.call_count == 2


TAB = {
    "hpo show mi": "mine",
    "hpo grid --set learning": "learning_rate=",
    "hpo search --space report_a": "report_a",
}


@pytest.mark.usefixtures("mine")
def test_shell_completion_works_without_heavy_libraries() -> None:
    program = (
        "import os, sys; sys.argv = ['hpo']\nfrom hpo.cli import main\n"
        f"for words in {[*TAB]}:\n"
        "    os.environ |= {'COMP_WORDS': words, 'COMP_CWORD': str(len(words.split()) - 1)}\n"
        "    try: main()\n"
        "    except SystemExit: "
        "print([name for name in ('torch', 'optuna', 'plotly') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"_HPO_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = [line for name in TAB.values() for line in (name, "[]")]
    assert done.stdout.splitlines() == expected, done.stderr


@pytest.mark.usefixtures("few_phantoms")
def test_the_demo_prints_and_runs_commands_that_work(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = Mock(return_value=Mock(returncode=0))
    monkeypatch.setattr("hpo.cli.train.subprocess.run", ran)
    answer = hpo("demo", "here", "--seed", "3")
    generate, grid, search, evaluate = (call.args[0][4:] for call in ran.call_args_list)
    for words in (generate, grid, search, evaluate):
        assert f"$ hpo {' '.join(words)}" in answer.out
    assert hpo(*generate, "--json").json == {"path": "here/phantom"}
    assert hpo("data", "info", "--json", "--data", "here/phantom").json["is_phantom"]
    assert_error(hpo(*generate), 1, "is not empty")
    assert [hpo(*words, "--dry-run").code for words in (grid, search)] == [0, 0]
    ran.return_value.returncode = 130
    assert hpo("demo", "here").code == 130


def test_a_misplaced_path_is_answered_with_its_option(hpo: Hpo, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.touch()
    assert_error(hpo("data", "info", tmp_path), 2, f"For data, write --data {tmp_path}.")
    assert_error(hpo("evaluate", file), 2, f"For weights, write --weights {file}")
