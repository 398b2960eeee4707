"""A stranger's mistakes: one clear message, exit code 1 or 2, nothing lost."""

from pathlib import Path
from unittest.mock import Mock

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
        ([*GRID, "--study", "runs"], ["--study", "another name"]),
        ([*GRID, "--study", "hpo.db"], ["--study", "studies/hpo.db is a file"]),
        ([*GRID, "--seed", "4294967296"], ["--seed", "from 0"]),
        ([*GRID, "--storage", "mysql://host/db"], ["--storage", "sqlite:///"]),
        ([*GRID, "--precision", "fp64"], ["--precision", "fp32"]),
        ([*GRID, "--device", "tpu"], ["--device", "cuda"]),
        ([*GRID, "--timeout", "0"], ["--timeout"]),
        ([*GRID, "--lanes", "1.5"], ["auto or from 1 to 256"]),
        ([*GRID, "--lanes", "1000"], ["auto or from 1 to 256"]),
        (["show", "mine", "--target", "93"], ["write --target 0.93"]),
        (["show", "mine", "--target", "0"], ["above 0"]),
        (["show", "--curves"], ["hpo show STUDY --curves"]),
        (["compare", "one"], ["two studies or more"]),
        (["compare", "one", "one"], ["two studies or more"]),
        ([*GRID, "--space", "nowhere.toml"], ["nowhere.toml"]),
        ([*GRID, "--space", "report_z"], ["Did you mean report_"]),
        ([*GRID, "--repeats", "30000"], ["60,000 trainings"]),
        (["search", "--trials", "0"], ["--trials", "from 1", "0"]),
        (["search", "--trials", "60000"], ["at most 50,000"]),
        (["search", "--trials", "many"], ["--trials"]),
        (["search", "--sampler", "gp"], ["tpe", "random"]),
        (["search", "--param", "nonsense"], ["nonsense"]),
        (["search", "--bogus"], ["--bogus"]),
        (["grid", "--param", "lr"], ["Unknown hyperparameter 'lr'. Did you mean learning_rate?"]),
        (["search", "--param", "bs"], ["Unknown hyperparameter 'bs'. Did you mean batch_size?"]),
        ([*GRID, "--set", "weight-decay=1"], ["Did you mean weight_decay?"]),
        (["grid", "--param", "xyzzy"], ["Run `hpo grid` to see them all."]),
        (["grid", "--param", "batch_size=32,64"], ["Use --param batch_size --values 32,64"]),
        (["grid", "batch_size"], ["`hpo grid --param batch_size`"]),
        (["search", "batch_size"], ["`hpo search --param batch_size`"]),
        (["sweep", "--param", "batch_size"], ["Did you mean grid?"]),
        (["serch"], ["Did you mean 'search'?"]),
        (["show", "x\udcff"], ["is not valid UTF-8"]),
    ],
)
def test_wrong_usage_ends_with_2_and_creates_nothing(
    hpo: Hpo, arguments: list[str], words: list[str]
) -> None:
    said(hpo(*arguments), 2, *words)
    answer = hpo(*arguments, "--json")
    assert (answer.code, answer.err) == (2, "")
    error = answer.json["error"]
    assert error["kind"] in ("usage", "config", "space")
    assert words[-1] in " ".join(error["message"].split())
    assert not Path("studies").exists()


def test_a_gpu_that_is_not_there_is_said(hpo: Hpo, xrays: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    said(hpo(*GRID, "--data", xrays, "--device", "cuda"), 1, "--device cpu")


def test_an_interruption_before_the_first_training_is_said(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hpo.run.plan.open_data", interrupted)
    said(hpo(*GRID, "--data", xrays), 130, "the same command continues")
    assert hpo(*GRID, "--data", xrays, "--json").json["error"]["kind"] == "interrupted"


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "minimize"]])
def test_a_blank_study_of_other_directions_is_refused(
    hpo: Hpo, xrays: Path, directions: list[str]
) -> None:
    Path("studies").mkdir()
    storage = "sqlite:///studies/hpo.db"
    optuna.create_study(study_name="mine", storage=storage, directions=directions)
    for command in ((*GRID, "--data", xrays), ("search", "--trials", "2", *SMALL)):
        answer = hpo(*command, "--study", "mine")
        said(answer, 1, "The study mine exists and differs", f"its direction is {directions}")
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


def test_a_study_that_does_not_exist_names_the_nearest(hpo: Hpo, xrays: Path) -> None:
    said(hpo("show"), 1, "no studies yet", "hpo grid --param batch_size")
    assert not Path("studies").exists()
    hpo(*GRID, "--data", xrays, "--study", "my-grid")
    for command in (["show"], ["resume"], ["report"], ["export"], ["delete", "--yes"]):
        said(hpo(*command, "my-gird"), 1, "my-gird", "my-grid")
    optuna.create_study(study_name="theirs", storage="sqlite:///studies/hpo.db")
    assert "1 study of another program" in hpo("show").err
    said(hpo("show", "theirs"), 1, "theirs", "another program")


def test_a_study_of_this_name_that_differs_is_refused_with_the_difference(
    hpo: Hpo, xrays: Path
) -> None:
    mine = ("--data", xrays, "--study", "mine")
    hpo(*GRID, *mine, "--precision", "fp32")
    said(hpo(*GRID, "--study", "mine"), 1, "its data are xrays", "phantom")
    others = [argument.replace("8,16", "8,32") for argument in GRID]
    said(hpo(*others, *mine), 1, "batch_size", "32", "16")
    said(hpo(*GRID, "--set", "dropout=0.1", *mine), 1, "dropout", "0.1")
    said(hpo("search", "--trials", "2", *SMALL, *mine), 1, "it is a grid")
    said(hpo(*GRID, "--seed", "3", *mine), 1, "--seed")
    said(hpo(*GRID, "--precision", "bf16", *mine), 1, "--precision")
    assert hpo("show", "mine", "--json").json["configurations"][0]["state"] == "complete"


@pytest.mark.parametrize("name", ["HPO_DATA", "HPO_SPACE", "HPO_STORAGE", "HPO_RUNS", "HPO_CACHE"])
def test_a_setting_that_is_not_text_is_refused(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "x\udcff")
    said(hpo(*GRID), 2, name, "is not valid UTF-8")
    assert not Path("studies").exists()
