"""User mistakes: one clear message, exit code 1 or 2, nothing lost."""

from pathlib import Path
from unittest.mock import Mock

import optuna
import pytest

from hpo.errors import DeviceError
from tests.cli.conftest import GRID, VALUES, assert_error
from tests.conftest import SMALL, Answer, Hpo

URL = "sqlite:///studies/hpo.db"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["grid"], ["`hpo grid batch_size`", "batch_size: 32, 64, 128"]),
        (["grid", "--param", "early_stopping"], ["no prescribed values", "--values"]),
        (["grid", "--param", "batch_size", "--values", "loss=bce"], ["loss is not varied"]),
        ([*VALUES, "--set", "learning_rate"], ["NAME=VALUE"]),
        ([*VALUES, "--set", "learning_rate=-1"], ["above 0", "-1"]),
        ([*VALUES, "--set", "epochs=2,3"], ["a whole number", "hpo grid epochs=2,3"]),
        ([*VALUES, "--repeats", "30000"], ["60,000 trainings"]),
        ([*VALUES, "--max-repeats", "7"], ["--until-decided"]),
        ([*VALUES, "--study", "a/b"], ["--study", "a/b"]),
        ([*VALUES, "--study", "hpo.db"], ["--study", "studies/hpo.db is a file"]),
        ([*VALUES, "--seed", "4294967296"], ["--seed", "from 0"]),
        ([*VALUES, "--device", "tpu"], ["--device", "cuda"]),
        ([*VALUES, "--study", "latest"], ["no reserved name"]),
        ([*VALUES, "--study", "2"], ["or a number, but got '2'"]),
        ([*VALUES, "--storage", "postgres://h/d"], ["Write postgresql:// instead."]),
        ([*VALUES, "--lanes", "1.5"], ["auto or from 1 to 256"]),
        ([*VALUES, "--margin", "nan"], ["above 0, at most 50 points", "--margin 1"]),
        ([*VALUES, "--space", "report_z"], ["Did you mean report_"]),
        (["grid", "--param", "lr"], ["Unknown hyperparameter 'lr'. Did you mean learning_rate?"]),
        (["grid", "batchsize=32,64"], ["Did you mean batch_size?"]),
        (["grid", "xyzzy"], ["Run `hpo grid` to see them all."]),
        (["grid", "batch_size", "/"], ["/ is a path, not a hyperparameter", "--data /"]),
        (["search", "batch_size=32"], ["takes no values here", "hpo grid batch_size=32"]),
        (["search", "--trials", "0"], ["--trials", "from 1", "0"]),
        (["search", "--sampler", "cma"], ["'--sampler': 'cma' is not one of", "tpe", "gp"]),
        (["search", "--trials", "x"], ['The value must be a whole number, but is "x".']),
        (["search", "--require", "sensitivity=95"], ["a share from 0 to 1", "sensitivity=0.95"]),
        (["search", "--metric", "stress_acuracy"], ["Did you mean stress_accuracy?"]),
        (["search", "--set", "image_size=12"], ["image_size may be 12", "--metric accuracy"]),
        (["evaluate"], ["takes either"]),
        (["evaluate", "mine", "--weights", "weights.pth"], ["takes either"]),
        (["evaluate", "mine", "--has-sigmoid"], ["--has-sigmoid is only for --weights"]),
        (["reproduce", "mine", "--trial", "0", "--repeat", "1"], ["possibly with --repeat, or"]),
        (["predict", "w.pt"], ["IMAGE"]),
        (["predict", "w.pt", "image.png", "--input-scale", "half"], ["unit"]),
        (["predict", "mine", "image.png", "--activation", "gelu"], ["leave them out"]),
        (["show", "mine", "--target", "93"], ["write --target 0.93"]),
        (["show", "--curves"], ["hpo show STUDY --curves"]),
        (["compare", "one", "one"], ["at least two studies"]),
        (["train", "batch_size"], ["Did you mean grid?"]),
        (["serch"], ["Did you mean 'search'?"]),
        (["grid", "batch_size", "--repeat", "3"], ["--repeats"]),
        (["show", "mine", "true"], ["unexpected extra argument", "(true)"]),
        (["show", "x\udcff"], ["is not valid UTF-8"]),
    ],
)
def test_wrong_usage_exits_with_2_and_creates_nothing(
    hpo: Hpo, arguments: list[str], words: list[str]
) -> None:
    assert_error(hpo(*arguments), 2, *words)
    answer = hpo(*arguments, "--json")
    assert (answer.code, answer.err) == (2, "")
    error = answer.json["error"]
    assert error["kind"] in ("usage", "config", "space")
    assert words[-1] in " ".join(error["message"].split())
    assert not Path("studies").exists()


def test_a_gpu_with_wrong_results_is_refused(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Mock(side_effect=DeviceError("cuda:0 does not compute what plain torch computes."))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr("hpo.training.selfcheck.check_device", wrong)
    command = (*GRID, "--data", xrays, "--study", "mine")
    assert_error(hpo(*command), 1, "does not compute what plain torch computes")
    assert hpo(*command, "--device", "cpu").code == 0


def test_an_interruption_before_the_first_training_is_reported(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.run.plan.open_data", Mock(side_effect=KeyboardInterrupt))
    assert_error(hpo(*GRID), 130, "the same command continues")
    assert hpo(*GRID, "--json").json["error"]["kind"] == "interrupted"


def test_tilde_is_expanded_in_every_path_setting(
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
    mine = ("--study", "mine", "--space=~/mine.toml", "--data=~/xrays", "--repeats", "1")
    assert hpo(*GRID, *mine).code == 0
    assert hpo("export", "mine", "--out=~/out").code == 0
    (weights,) = (home / "out").glob("*/weights-repeat-1.safetensors")
    assert hpo("evaluate", f"--weights=~/out/{weights.parent.name}", "--data=~/xrays").code == 0
    assert hpo("data", "info", "--sheet=~/sheet.png").code == 0
    there = {"runs", "cache", "hpo.db", "out", "sheet.png", "mine"}
    assert there <= {path.name for path in home.iterdir()}
    assert not list(tmp_path.glob("~*"))
    assert_error(hpo("show", "--storage", "sqlite:///~nobody-here/h.db"), 2, "The home folder in")


def test_without_studies_the_message_suggests_a_first_command(hpo: Hpo, xrays: Path) -> None:
    assert_error(hpo("show"), 1, "no studies yet", "hpo grid batch_size")
    weights = ("--weights", "nowhere.pth", "--data", xrays)
    assert_error(hpo("evaluate", *weights), 1, "nowhere.pth cannot be read")
    assert not Path("studies").exists()


@pytest.mark.usefixtures("mine")
def test_an_unknown_study_name_suggests_the_closest_one(hpo: Hpo) -> None:
    for command in (
        *(["show"], ["resume"], ["report"], ["export"], ["evaluate"], ["delete", "--yes"]),
        *(["reproduce", "--trial", "0"], ["compare", "mine"]),
    ):
        assert_error(hpo(*command, "mien"), 1, "mien", "Did you mean mine?")
    assert_error(hpo("delete", "--yes", "latest"), 1, "needs the full name: mine.")
    assert_error(hpo("delete", "--yes", "1"), 1, "needs the full name: mine.")
    optuna.create_study(study_name="theirs", storage=URL)
    assert "1 study of another program" in hpo("show").err
    assert_error(hpo("show", "theirs"), 1, "theirs", "another program")


def test_a_different_study_of_the_same_name_is_refused_with_the_difference(
    hpo: Hpo, mine: Answer, xrays: Path
) -> None:
    again = ("--study", "mine", "--data", xrays)
    other = "fp32" if "bf16" in hpo("show", "mine").out else "bf16"
    assert_error(hpo(*GRID, "--study", "mine"), 1, "its data are xrays", "phantom")
    others = [argument.replace("8,16", "8,32") for argument in GRID]
    assert_error(hpo(*others, *again), 1, "batch_size", "32", "16")
    assert_error(hpo(*GRID, "--set", "dropout=0.1", *again), 1, "dropout", "0.1")
    assert_error(hpo("search", "--trials", "2", *SMALL, *again), 1, "it is a grid")
    assert_error(hpo(*GRID, "--seed", "3", *again), 1, "--seed")
    assert_error(hpo(*GRID, "--precision", other, *again), 1, "--precision")
    assert_error(
        hpo(*GRID, "--metric", "auroc", *again), 1, "--metric: accuracy there, auroc here"
    )
    assert hpo("show", "mine", "--json").json["configurations"] == mine.json["configurations"]


def test_an_empty_study_with_other_directions_is_refused(hpo: Hpo, xrays: Path) -> None:
    Path("studies").mkdir()
    optuna.create_study(study_name="mine", storage=URL, directions=["maximize", "minimize"])
    answer = hpo(*GRID, "--data", xrays, "--study", "mine")
    assert_error(answer, 1, "The study mine exists and differs", "its direction is ['maximize'")
    assert hpo("delete", "mine", "--yes").code == 0
