"""A stranger's mistakes: one clear message, exit code 1 or 2, nothing lost."""

import os
import sqlite3
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import optuna
import pytest

from tests.conftest import SMALL, Answer, Hpo

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "1", *SMALL)


def said(answer: Answer, code: int, *words: str) -> None:
    """Check an error: its code, one message, no traceback, and what must be in it."""
    assert answer.code == code, answer
    assert "Traceback" not in answer.err
    text = " ".join(answer.err.split())
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["grid"], ["--param", "batch_size"]),
        (["grid", "--param", "batch_sise"], ["Did you mean batch_size?"]),
        (["grid", "--param", "early_stopping"], ["no prescribed values", "--values"]),
        (["grid", "--param", "epochs", "--epochs", "3"], ["--epochs"]),
        ([*GRID, "--values", "8,x"], ["batch_size"]),
        (["grid", "--param", "batch_size", "--values", "0,16"], ["at least 2", "but is 0"]),
        (["grid", "--param", "batch_size", "--values", "loss=bce"], ["loss is not varied"]),
        ([*GRID, "--set", "learning_rate"], ["NAME=VALUE"]),
        ([*GRID, "--set", "lerning_rate=1"], ["Did you mean learning_rate?"]),
        ([*GRID, "--set", "learning_rate=-1"], ["above 0", "-1"]),
        ([*GRID, "--set", "dropout=0.1,0.2"], ["dropout"]),
        ([*GRID, "--repeats", "0"], ["--repeats", "from 1", "0"]),
        ([*GRID, "--epochs", "0"], ["epochs", "at least 1"]),
        ([*GRID, "--study", "a/b"], ["--study", "a/b"]),
        ([*GRID, "--study", ".."], ["--study"]),
        ([*GRID, "--study", "runs"], ["--study", "another name"]),
        ([*GRID, "--study", "hpo.db"], ["--study", "studies/hpo.db is a file"]),
        ([*GRID, "--seed", "4294967296"], ["--seed", "from 0"]),
        ([*GRID, "--storage", "mysql://host/db"], ["--storage", "sqlite:///"]),
        ([*GRID, "--precision", "fp64"], ["--precision", "fp32"]),
        ([*GRID, "--device", "tpu"], ["--device", "cuda"]),
        ([*GRID, "--timeout", "0"], ["--timeout"]),
        ([*GRID, "--space", "nowhere.toml"], ["nowhere.toml"]),
        ([*GRID, "--space", "report_z"], ["Did you mean report_"]),
        (["search", "--trials", "0"], ["--trials", "from 1", "0"]),
        (["search", "--sampler", "gp"], ["tpe", "random"]),
        (["search", "--param", "nonsense"], ["nonsense"]),
    ],
)
def test_wrong_usage_ends_with_2_and_creates_nothing(
    hpo: Hpo, arguments: list[str], words: list[str]
) -> None:
    said(hpo(*arguments), 2, *words)
    assert not Path("studies").exists()


def test_a_batch_larger_than_the_data_is_refused_before_anything_is_trained(
    hpo: Hpo, xrays: Path
) -> None:
    answer = hpo("grid", "--param", "batch_size", "--values", "16,4096", *SMALL, "--data", xrays)
    said(answer, 2, "batch_size 4096", "64 of this data")
    assert not Path("studies").exists()


def test_a_gpu_that_is_not_there_is_said(hpo: Hpo, xrays: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    said(hpo(*GRID, "--data", xrays, "--device", "cuda"), 1, "--device cpu")


def test_data_that_are_not_there(hpo: Hpo) -> None:
    said(hpo(*GRID, "--data", "nowhere"), 1, "There is no", "nowhere", "NORMAL")


def test_a_pickled_npy_is_never_unpickled(hpo: Hpo, xrays: Path) -> None:
    np.save(xrays / "normal.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    said(hpo(*GRID, "--data", xrays), 1, "normal.npy")
    assert not Path("exploded").exists()


class Bomb:
    """Would leave a file behind if it were unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.mkdir, (Path("exploded"),))  # type: ignore[return-value]


def test_a_study_that_does_not_exist_names_the_nearest(hpo: Hpo, xrays: Path) -> None:
    hpo(*GRID, "--data", xrays, "--study", "my-grid")
    for command in ("show", "resume", "report", "export"):
        said(hpo(command, "my-gird"), 1, "my-gird", "my-grid")
    said(hpo("delete", "my-gird", "--yes"), 1, "my-grid")


def test_without_any_study_the_way_to_the_first_is_shown(hpo: Hpo) -> None:
    said(hpo("show"), 1, "no studies yet", "hpo grid --param batch_size")
    assert not Path("studies").exists()


def test_a_study_of_this_name_that_differs_is_refused_with_the_difference(
    hpo: Hpo, xrays: Path
) -> None:
    hpo(*GRID, "--data", xrays, "--study", "mine")
    named = ("--study", "mine")
    said(hpo(*GRID, *named), 1, "its data are xrays", "phantom")
    others = [argument.replace("8,16", "8,32") for argument in GRID]
    said(hpo(*others, "--data", xrays, *named), 1, "batch_size", "32", "16")
    said(hpo(*GRID, "--set", "dropout=0.1", "--data", xrays, *named), 1, "dropout", "0.1")
    said(hpo("search", "--trials", "2", *SMALL, "--data", xrays, *named), 1, "it is a grid")
    said(hpo(*GRID, "--seed", "3", "--data", xrays, *named), 1, "--seed")
    said(
        hpo(*GRID, "--precision", other_precision(hpo), "--data", xrays, *named), 1, "--precision"
    )
    assert hpo("show", "mine", "--json").json["configurations"][0]["state"] == "complete"


def other_precision(hpo: Hpo) -> str:
    """Return the precision that the study called mine was not trained with."""
    shown = hpo("show", "mine").out
    return "fp32" if "bf16" in shown else "bf16"


def test_changed_data_are_refused_on_resume(hpo: Hpo, xrays: Path) -> None:
    hpo(*GRID, "--data", xrays, "--study", "mine")
    images = np.load(xrays / "normal.npy")
    images[0, 0, 0] += 1
    np.save(xrays / "normal.npy", images)
    said(hpo("resume", "mine"), 1, "are not what they were")
    (xrays / "normal.npy").unlink()
    said(hpo("resume", "mine"), 1, "normal.npy")


def test_a_database_that_cannot_be_used_is_said(hpo: Hpo, xrays: Path) -> None:
    Path("notes.db").write_text("no database " * 100)
    url = ("--storage", "sqlite:///notes.db")
    said(hpo(*GRID, "--data", xrays, *url), 1, "notes.db", "no SQLite database")
    with sqlite3.connect("photos.db") as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    url = ("--storage", "sqlite:///photos.db")
    said(hpo(*GRID, "--data", xrays, *url), 1, "another program")


def test_a_damaged_page_of_the_database_is_said_by_every_command(hpo: Hpo, xrays: Path) -> None:
    hpo(*GRID, "--data", xrays, "--study", "mine")
    with sqlite3.connect("studies/hpo.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = database.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'trials'"
        (page,) = database.execute(query).fetchone()
    database.close()
    content = bytearray(Path("studies/hpo.db").read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    Path("studies/hpo.db").write_bytes(content)
    for command in (["show"], ["report"], ["export"], ["resume"], ["delete", "--yes"]):
        said(hpo(command[0], "mine", *command[1:]), 1, "corrupt", "Move it away")


def test_another_programs_study_is_left_alone(hpo: Hpo, xrays: Path) -> None:
    import optuna

    hpo(*GRID, "--data", xrays, "--study", "mine")
    optuna.create_study(study_name="theirs", storage="sqlite:///studies/hpo.db")
    answer = hpo("show")
    assert answer.code == 0
    assert "1 study of another program" in answer.err
    said(hpo("show", "theirs"), 1, "theirs", "another program")


@pytest.mark.parametrize("n_writes", [0, 1, 2, 3])
def test_a_full_disk_is_one_message_and_what_is_finished_is_kept(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch, n_writes: int
) -> None:
    sync, calls = os.fsync, []

    def fills_up(descriptor: int) -> None:
        calls.append(None)
        if len(calls) > n_writes:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("hpo.files.os.fsync", fills_up)
        answer = hpo(*GRID, "--data", xrays, "--study", "mine")
    said(answer, 1, "No space left on device", "Make room")
    # A training writes its weights first, then its run.
    n_kept = n_writes // 2
    again = hpo(*GRID, "--data", xrays, "--study", "mine", "--json")
    assert again.code == 0
    assert again.json["n_trained"] == 2 - n_kept


@pytest.mark.parametrize("arguments", [("--bogus",), ("--sampler", "cma"), ("--trials", "many")])
def test_wrong_usage_in_json_is_one_document(hpo: Hpo, arguments: tuple[str, ...]) -> None:
    answer = hpo("search", *arguments, "--json")
    assert (answer.code, answer.err) == (2, "")
    assert answer.json["error"]["kind"] == "usage"
    assert arguments[0] in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ("grid --param lr", "Unknown hyperparameter 'lr'. Did you mean learning_rate?"),
        ("search --param bs", "Unknown hyperparameter 'bs'. Did you mean batch_size?"),
        ("grid --param loss --set weight-decay=1", "Did you mean weight_decay?"),
        ("grid --param loss --values wd=1", "wd is not varied"),
        ("grid --param xyzzy", "Run `hpo grid` to see them all."),
        ("grid --param batch_size=32,64", "Use --param batch_size --values 32,64"),
        ("grid batch_size", "`hpo grid --param batch_size`"),
        ("search batch_size", "`hpo search --param batch_size`"),
        ("sweep --param batch_size", "Did you mean grid?"),
        ("tune", "Did you mean search?"),
        ("serch", "Did you mean 'search'?"),
    ],
)
def test_what_is_called_otherwise_elsewhere_is_answered_with_what_was_meant(
    hpo: Hpo, arguments: str, remedy: str
) -> None:
    answer = hpo(*arguments.split())
    assert answer.code == 2
    assert remedy in answer.err
    message = hpo(*arguments.split(), "--json").json["error"]["message"]
    assert remedy in message
    assert len(message) < 200


def test_a_batch_that_is_too_large_is_to_be_left_out(hpo: Hpo, xrays: Path) -> None:
    search = ("search", "--param", "batch_size", "--trials", "3", "--finalists", "0", *SMALL)
    answer = hpo(*search, "--data", xrays, "--sampler", "random", "--study", "s")
    assert "batch_size 128 is more than the 64 training images" in answer.err
    assert "Leave 128 out of the choices" in answer.err


def test_an_interruption_before_the_first_training_is_said(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hpo.run.plan.open_data", interrupted)
    said(hpo(*GRID, "--data", xrays), 130, "the same command continues")
    assert hpo(*GRID, "--data", xrays, "--json").json["error"]["kind"] == "interrupted"


def test_an_error_in_json_is_json_with_the_same_code(hpo: Hpo) -> None:
    answer = hpo("grid", "--param", "batch_sise", "--json")
    assert answer.code == 2
    assert answer.json["error"]["kind"] == "usage"
    assert "batch_size" in answer.json["error"]["message"]


@pytest.mark.parametrize("name", ["HPO_DATA", "HPO_SPACE", "HPO_STORAGE", "HPO_RUNS", "HPO_CACHE"])
def test_a_setting_that_is_no_text_is_said(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "x\udcff")
    said(hpo(*GRID), 2, name, "is not valid UTF-8")
    assert not Path("studies").exists()


def test_an_argument_that_is_no_text_is_said(hpo: Hpo) -> None:
    said(hpo("show", "x\udcff"), 2, "is not valid UTF-8")


def test_a_message_moves_no_cursor(hpo: Hpo) -> None:
    answer = hpo("data", "info", "--data", "\x1b[2Jgone")
    said(answer, 1, "There is no")
    assert "\x1b" not in answer.err


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "minimize"]])
def test_a_blank_study_of_other_directions_is_refused(
    hpo: Hpo, xrays: Path, directions: list[str]
) -> None:
    Path("studies").mkdir()
    storage = "sqlite:///studies/hpo.db"
    optuna.create_study(study_name="mine", storage=storage, directions=directions)
    for command in ((*GRID, "--data", xrays), ("search", "--trials", "2", *SMALL)):
        answer = hpo(*command, "--study", "mine")
        said(answer, 1, "There is a study mine already", f"its direction is {directions}")
    assert hpo("delete", "mine", "--yes").code == 0


def test_a_home_is_found_in_every_setting_that_names_a_path(
    hpo: Hpo, xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    xrays.rename(home / "xrays")
    (home / "mine.toml").write_text("[sweep]\nbatch_size = [8, 16]\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HPO_RUNS", "~/runs")
    monkeypatch.setenv("HPO_CACHE", "~/cache")
    monkeypatch.setenv("HPO_STORAGE", "sqlite:///~/hpo.db")
    mine = ("--study", "mine", "--space=~/mine.toml", "--data=~/xrays")
    assert hpo(*GRID, *mine).code == 0
    assert hpo("export", "mine", "--out=~/out").code == 0
    (weights,) = (home / "out").glob("*/weights-repeat-1.pt")
    assert hpo("evaluate", f"--weights=~/out/{weights.parent.name}", "--data=~/xrays").code == 0
    assert hpo("data", "info", "--sheet=~/sheet.png").code == 0
    there = {"runs", "cache", "hpo.db", "out", "sheet.png", "mine"}
    assert there <= {path.name for path in home.iterdir()}
    assert not list(tmp_path.glob("~*"))
    said(hpo("show", "--storage", "sqlite:///~nobody-here/h.db"), 2, "in an unknown home")


def test_too_little_memory_to_read_a_run_is_one_message(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hpo(*GRID, "--data", xrays, "--study", "mine").code == 0

    monkeypatch.setattr("hpo.storage.runs.read_json", Mock(side_effect=MemoryError))
    for command in ("report", "evaluate"):
        said(hpo(command, "mine"), 1, "too little memory to read", ".json")


def test_more_trainings_than_a_study_holds_are_refused(hpo: Hpo, xrays: Path) -> None:
    said(hpo("search", "--trials", "60000", "--data", xrays), 2, "at most 50,000")
    said(hpo(*GRID, "--repeats", "30000", "--data", xrays), 2, "60,000 trainings")
