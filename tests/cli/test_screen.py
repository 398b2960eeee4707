"""Terminals of 80 columns or fewer show complete tables, commands and progress."""

import io
import itertools
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from hpo.cli import output, work
from hpo.config import TrainingConfig
from hpo.run.loop import Event, TrialDone
from hpo.study.score import SCORES
from hpo.study.trials import Job
from tests.cli.conftest import GRID
from tests.conftest import SMALL, Hpo

LONGEST = "grid-learning_rate-batch_size-dropout"
WHOLE = re.compile("[┏┡├└┃│].*[┓┩┤┘┃│]")


def test_tables_are_complete_at_80_and_40_columns(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hpo(*GRID, "--data", xrays, "--study", LONGEST)
    search = ("search", "--trials", "3", "--finalists", "2", "--final-repeats", "2", *SMALL)
    hpo(*search, "--metric", "accuracy", "--data", xrays, "--study", "s")
    hpo("export", LONGEST)
    weights = next(Path("studies").glob(f"{LONGEST}/export/*/*.safetensors"))
    commands: list[tuple[object, ...]] = [
        ("show",),
        ("show", "s", "--curves"),
        ("compare", LONGEST, "s", "--all"),
        ("evaluate", LONGEST),
        ("evaluate", "--weights", weights, "--data", xrays),
        ("data", "audit", "--data", xrays),
    ]
    wide = {command: hpo(*command).out for command in commands}
    for width, command in itertools.product((80, 40), commands):
        monkeypatch.setenv("COLUMNS", str(width))
        narrow = hpo(*command).out
        table = [line for line in narrow.splitlines() if line[:1] and line[:1] in "┏┡├└┃│"]
        assert table
        for line in table:
            assert cell_len(line) <= width, (command, line)
            assert WHOLE.fullmatch(line), (command, line)
        for number in re.findall(r"\d+\.\d+ to \d+\.\d+", wide[command]):
            assert number in narrow, (width, command)


def terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> io.StringIO:
    """Replace both outputs with a terminal of this width, and return what it shows."""
    shown = io.StringIO()
    console = Console(
        file=shown, force_terminal=True, width=width, color_system=None, markup=False
    )
    monkeypatch.setattr(output, "console", console)
    monkeypatch.setattr(output, "error_console", console)
    monkeypatch.setattr(work, "error_console", console)
    return shown


def test_a_terminal_wraps_text_but_not_commands_and_paths(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    (line,) = hpo("compare", "mine").err.splitlines()  # To a pipe.
    assert len(line) > 60
    shown = terminal(monkeypatch, 40)
    command = "hpo resume grid-learning_rate-2056af99 --storage sqlite:///a.db"
    prose = "9 of 15 trainings are still to be done, which is most of them"
    path = "/home/me/some where/very-long-name-of-a-folder-of-studies/report.html"
    output.print_line(f"{prose}: `{command}` continues.")
    output.say(f"{prose}. To continue: {command}")
    output.print_path(f"Page: {path}")
    lines = [line.rstrip() for line in shown.getvalue().splitlines()]
    assert " ".join(lines).count(prose) == 2
    assert {f"`{command}`", command, f"Page: {path}"} < set(lines)
    others = [line for line in lines if command not in line and path not in line]
    assert max(map(len, others)) <= 40


def job(ordinal: int, repeat: int) -> Job:
    return Job(
        ordinal=ordinal,
        params={"batch_size": 8 * 2**ordinal},
        config=TrainingConfig(epochs=10),
        repeat=repeat,
        seed=repeat,
        fold=repeat,
    )


def done(ordinal: int, repeat: int, score: float) -> TrialDone:
    return TrialDone(trial=0, job=job(ordinal, repeat), outcome="complete", score=score)


SCORES_SO_FAR = [
    *((0, 0, 0.95), (1, 0, 0.80), (0, 1, 0.75), (1, 1, 0.70), (2, 0, 0.9), (2, 1, 0.9)),
    # The finalists: retraining does not lower the best mean found before.
    *((2, 2, 0.6), (0, 2, 0.5)),
]


def follow(events: list[Event], *, n_search: int = 6) -> None:
    planned = {"search": n_search, "finalists": 2}
    score = SCORES["accuracy"]
    tally = work.Tally(n_left=n_search + 2, score=score, n_repeats=2, planned=planned)
    work.follow(events, tally, is_quiet=False)


def test_progress_shows_phases_and_the_best_mean(capsys: pytest.CaptureFixture[str]) -> None:
    follow([done(*score) for score in SCORES_SO_FAR])
    lines = capsys.readouterr().err.splitlines()
    means = [re.findall(r"best mean (\S+)\s%", line) for line in lines]
    assert means == [[], [], ["85.0"], ["85.0"], ["85.0"], ["90.0"], ["90.0"], ["90.0"]]
    phases = re.findall(r"\[\d/8\] (\w+ \d/\d): ", "\n".join(lines))
    assert phases == [*(f"search {n}/6" for n in range(1, 7)), "finalists 1/2", "finalists 2/2"]


def test_the_total_drops_to_the_finalists_when_a_search_ends_early(
    capsys: pytest.CaptureFixture[str],
) -> None:
    follow([done(*score) for score in SCORES_SO_FAR], n_search=40)
    counts = re.findall(r"^\[(\d/\d+)\] (\w+)", capsys.readouterr().err, re.MULTILINE)
    assert counts[-3:] == [("6/42", "search"), ("7/8", "finalists"), ("8/8", "finalists")]


def test_the_progress_bar_keeps_the_count_and_best_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch, 60)
    follow([done(*score) for score in SCORES_SO_FAR])
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.getvalue())
    lines = [line for line in re.split(r"[\r\n]+", text) if "━" in line]
    assert "8/8" in lines[-1]
    assert "best mean 90.0\N{NO-BREAK SPACE}%" in lines[-1]
    assert max(map(cell_len, lines)) <= 60
