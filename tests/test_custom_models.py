"""`--model FILE.py:NAME` on the command line: sweeps, searches, exports, and bad files."""

import importlib
import runpy
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo import grid, models, search
from hpo.errors import ModelError, UsageError
from tests.conftest import SIZE, Hpo

ROOT = Path(__file__).parents[1]
SMALL = ("--set", f"image_size={SIZE}", "--set", "depth=1", "--epochs", "1")


@pytest.fixture
def cnn(tmp_path: Path) -> Path:
    """A copy of the example that a test may change."""
    return Path(shutil.copy(ROOT / "examples" / "cnn.py", tmp_path / "cnn.py"))


def study_of(hpo: Hpo) -> str:
    name: str = hpo("show", "--json").json["studies"][0]["study"]
    return name


def test_parameters_declared_by_a_signature_can_be_swept(hpo: Hpo, xrays: Path, cnn: Path) -> None:
    grid = ("grid", "channels=16,32", "--data", xrays, "--repeats", "1", *SMALL)
    first = hpo(*grid, "--model", "cnn.py:cnn")
    assert first.code == 0, first.err
    assert "Trained 2" in first.out
    study = study_of(hpo)
    assert study.startswith("grid-channels-")
    assert "│ 16 " in hpo("show", study).out

    # Code is not run only because a database names it; stored results are read without it.
    refused = hpo("resume", study)
    assert refused.code == 2
    assert f"hpo resume {study}" not in refused.out
    assert f"add --model {cnn}:cnn" in refused.err
    assert hpo("evaluate", study).code == 0

    # A copy elsewhere is the same model; a changed file is another.
    (cnn.parent / "moved").mkdir()
    moved = Path(shutil.copy(cnn, cnn.parent / "moved" / "cnn.py"))
    again = hpo(*grid, "--model", f"{moved}:cnn")
    assert "Nothing to train" in again.out, again.err
    moved.write_text(moved.read_text().replace("nn.ReLU()", "nn.GELU()"))
    other = cnn.parent / "other" / "cnn.py"
    other.parent.mkdir()
    shutil.copy(moved, other)
    changed = hpo("resume", study, "--model", f"{other}:cnn")
    assert changed.code == 2
    assert "Its digest was" in changed.err
    assert hpo("resume", study, "--model", f"{cnn}:cnn").code == 0


def test_a_trained_model_exports_predicts_and_reproduces(hpo: Hpo, xrays: Path, cnn: Path) -> None:
    model = ("--model", f"{cnn}:cnn")
    trained = hpo("grid", "channels=16,32", "--data", xrays, "--repeats", "1", *SMALL, *model)
    assert trained.code == 0, trained.err
    study, image = study_of(hpo), cnn.parent / "image.png"
    Image.fromarray(np.load(xrays / "test_pneumonia.npy")[0]).save(image)
    refused = hpo("predict", study, image)
    assert refused.code == 2
    assert "These weights are of cnn.py:cnn" in refused.err
    found = hpo("predict", study, image, *model, "--json").json
    assert "cnn.py:cnn(channels=" in found["architecture"]

    unnamed = hpo("export", study, "--all")
    assert (unnamed.code, unnamed.err.count("add --model")) == (2, 1)
    exported = hpo("export", study, "--all", *model, "--json")
    assert exported.code == 0, exported.err
    folders = [Path(exported.json["best"]), *Path(exported.json["path"]).glob("00?_channels-*")]
    again = [hpo("predict", home, image, *model, "--json").json["images"] for home in folders]
    assert (len(again), again[0]) == (2, found["images"])
    script = runpy.run_path(str(folders[0] / "predict.py"))
    assert script["predict"](image) == pytest.approx([again[0][0]["probability"]], abs=1e-6)
    tested = hpo("evaluate", "--weights", folders[0], "--data", xrays, *model)
    assert tested.code == 0, tested.err
    same = hpo("reproduce", study, "2", *model)
    assert same.code == 0, same.out


ODD = """
from torch import nn

class Branching(nn.Module):
    def __init__(self, n_outputs, is_odd):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.ReLU(), nn.Dropout(0.1))
        self.last, self.is_odd = nn.LazyLinear(n_outputs), is_odd

    def forward(self, x):
        if self.is_odd and x.mean() > 2:  # Depends on the pixels: torch.export cannot take it.
            x = -x
        return self.last(self.layers(x))

def odd(*, n_outputs: int, depth: int = 1, is_odd: bool = True):
    return Branching(n_outputs, is_odd)
"""


BATCH = """
from torch import nn

class Centered(nn.Module):
    def forward(self, x):
        return x - x.mean(0)

def batch(*, n_outputs: int, depth: int = 1, keeps: bool = False):
    middle = nn.BatchNorm1d(8) if keeps else Centered()
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(8), middle, nn.Linear(8, n_outputs))
"""


def test_a_network_whose_output_depends_on_other_images_is_refused(
    hpo: Hpo, xrays: Path, tmp_path: Path
) -> None:
    (tmp_path / "batch.py").write_text(BATCH)
    grid = ("grid", "batch_size=8", "--data", xrays, *SMALL, "--dry-run")
    model = ("--model", f"{tmp_path / 'batch.py'}:batch")
    refused = hpo(*grid, *model)
    assert refused.code == 2
    assert "answers differently for an image alone and in a batch" in refused.err
    assert hpo(*grid, *model, "--set", "keeps=true").code == 0


def test_lazy_layers_train_and_an_unexportable_model_gets_no_script(
    hpo: Hpo, xrays: Path, tmp_path: Path
) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    model = ("--model", f"{tmp_path / 'odd.py'}:odd")
    small = ("--data", xrays, "--repeats", "2", *SMALL, *model, "--quiet")
    assert hpo("grid", "batch_size=8", *small, "--dry-run").code == 0
    trained = hpo("grid", "batch_size=8", *small)
    assert trained.code == 0, trained.err
    exported = hpo("export", "latest", *model)
    assert exported.code == 0, exported.err
    assert "model.pt2 and predict.py were not written: torch.export" in exported.err
    assert "Use it without hpo" not in exported.out
    document = hpo("export", "latest", *model, "--json").json
    assert document["script"] is None
    assert "predict.py" not in (Path(document["best"]) / "model_card.md").read_text()
    assert hpo("reproduce", "latest", "1", *model).code == 0
    whole = hpo("grid", "batch_size=8", "--set", "is_odd=false", *small)
    assert whole.code == 0, whole.err
    assert "predict.py x.jpeg" in hpo("export", "latest", *model).out


def test_a_space_file_can_name_a_model_and_search_its_parameters(
    hpo: Hpo, xrays: Path, cnn: Path
) -> None:
    space = cnn.parent / "spaces" / "cnn.toml"
    space.parent.mkdir()
    space.write_text(
        '[model]\nentry = "../cnn.py:cnn"\n'
        f"[base]\nimage_size = {SIZE}\nepochs = 1\nmodel.depth = 1\n"
        "[search]\nmodel.channels = { choices = [16, 32] }\n"
        "dropout = { low = 0.0, high = 0.5, when = { channels = 32 } }\n"
    )
    search = ("search", "--space", space, "--data", xrays, "--trials", "3", "--metric", "accuracy")
    found = hpo(*search, "--finalists", "0", "--json")
    assert found.code == 0, found.err
    assert found.json["best"]["config"]["model"]["params"]["depth"] == 1
    assert set(found.json["best"]["params"]) <= {"channels", "dropout"}
    shown = hpo("show", "latest", "--toml").out
    assert f'[model]\nentry = "{space.parent}/../cnn.py:cnn"\n[base]' in shown
    assert "\ndepth = 1\n" in shown
    Path("best.toml").write_text(shown)
    assert hpo("grid", "channels", "--space", "best.toml", "--dry-run").code == 0
    added = hpo("enqueue", "latest", "--set", "channels=16", "--json").json
    assert added["params"]["channels"] == 16
    last = hpo("show", "latest").out.splitlines()[-1]
    assert f" --model {space.parent}/../cnn.py:cnn" in last
    assert hpo(*shlex.split(last[last.index("hpo resume") :])[1:]).code == 0

    space.write_text(space.read_text().replace("channels = {", "chanels = {"))
    wrong = hpo(*search)
    assert wrong.code == 2
    assert "search: Unknown hyperparameter 'chanels'. Did you mean channels?" in wrong.err


def test_an_estimator_is_swept_and_only_a_wrong_value_fails(hpo: Hpo, xrays: Path) -> None:
    model = ("--model", f"{ROOT / 'examples' / 'forest.py'}:forest", "--data", xrays)
    small = ("--repeats", "1", "--set", f"image_size={SIZE}", "--set", "n_estimators=10")
    swept = hpo("grid", "criterion=gini,foo", *model, *small)
    assert swept.code == 1
    assert "forest.py:forest failed: InvalidParameterError: The 'criterion' parameter" in swept.err
    assert swept.out.count("failed") >= 1
    assert "Trained 1" in swept.out
    idle = hpo("grid", "learning_rate=0.1,0.2", *model, *small)
    assert idle.code == 2
    assert "--param learning_rate has no effect" in idle.err
    fixed = hpo("grid", "criterion", *model, *small, "--epochs", "3", "--set", "loss=focal")
    assert fixed.code == 2
    for name in ("epochs", "loss"):
        assert f"{name} has no effect on this model. Leave it out." in fixed.err
    assert hpo("grid", "criterion=gini,entropy", *model, *small, "--dry-run").code == 0
    exported = hpo("export", study_of(hpo), "--out", "out")
    assert "forest.py:forest is an estimator, whose weights are not exported" in exported.err
    assert exported.out == "Exported to out\n"
    assert "The best model (criterion gini) is" in hpo("show", study_of(hpo)).out
    refused = hpo("predict", study_of(hpo), "image.png", *model[:2])
    assert refused.code == 2
    assert "forest.py:forest is an estimator, whose weights are not saved" in refused.err


LATE = """
import os
from typing import Literal
import torch
from torch import nn

class Late(nn.Module):
    def __init__(
        self, *, n_outputs: int,
        how: Literal["no", "noise", "raise", "shape", "nan", "cut", "read"] = "no",
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(%d, n_outputs))
        self.how, self.n_steps = how, 0

    def forward(self, images):
        z = self.layers(images) + int.from_bytes(os.urandom(2)) / 1e5 * (self.how == "noise")
        self.n_steps += self.training
        if self.n_steps < 3:
            return z
        if self.how == "raise" or (self.how == "read" and not self.training):
            raise ValueError("too late")
        changed = {"shape": z[:, None], "nan": z * torch.nan, "cut": z.detach()}
        return changed.get(self.how, z)
"""


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_network_that_fails_in_a_later_step_does_not_stop_others(
    hpo: Hpo, xrays: Path, tmp_path: Path, lanes: int
) -> None:
    (tmp_path / "late.py").write_text(LATE % SIZE**2)
    small = ("--set", f"image_size={SIZE}", "--set", "batch_size=16", "--epochs", "2")
    swept = ("--model", "late.py:Late", "--data", xrays, *small, "--repeats", "1")
    answer = hpo("grid", "how", *swept, "--lanes", lanes)
    assert answer.code == 1
    assert "Trained 2" in answer.out
    assert "Error: 5 trainings of grid-how-" in answer.err
    own = 'late.py:Late failed: late.py, line 22: raise ValueError("too late") ValueError: too'
    for how, words in {
        "raise": own,
        "read": own,
        "shape": "late.py:Late returns (16, 1, 1) for 16 images, not logits of shape (16, 1).",
        "nan": "its loss was not finite in epoch 1.",
        "cut": "late.py:Late failed: RuntimeError: element 0 of tensors does not require grad",
    }.items():
        assert f"  - how {how}, repeat 1: {words}" in answer.err
    if lanes == 1:
        again = hpo("reproduce", study_of(hpo), "2", "--model", "late.py:Late")
        assert again.code == 1
        same = "Environment and late.py:Late are unchanged, so the model is not deterministic."
        assert same in again.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cnn.py:cnn",), "is not a hyperparameter. For a model, write --model cnn.py:cnn"),
        (("hidden",), "hidden belongs to the built-in network. This model has channels, depth"),
        (("channels=16,17",), "channels must be one of 16, 32 or 64, but is 17."),
        (("channels", "--precision", "bf16"), "Custom models use fp32"),
    ],
)
def test_wrong_values_for_a_model_are_refused(
    hpo: Hpo, cnn: Path, arguments: tuple[str, ...], message: str
) -> None:
    answer = hpo("grid", *arguments, "--model", f"{cnn}:cnn")
    assert answer.code == 2
    assert message in answer.err


@pytest.mark.parametrize(
    ("entry", "text", "message"),
    [
        ("mine", "", "A model must be FILE.py:NAME, but got 'mine'."),
        ("mine.py:nett", "def net(): ...", "has no function nett. Did you mean net?"),
        ("mine.py:net", "import torhc", "ModuleNotFoundError: No module named 'torhc'"),
        ("mine.py:net", "def net(n_outputs, width=3): ...", "width has no annotation."),
        ("mine.py:net", "def net(loss: str = 'x'): ...", "loss is a hyperparameter of hpo itself"),
        ("mine.py:net", "def net(a: list = ()): ...", "cannot be used. Write it like"),
        (
            "mine.py:net",
            "from typing import Literal\ndef net(a: Literal[1, 2] = 3): ...",
            "a must be one of 1 or 2, but is 3.",
        ),
        (
            "mine.py:net",
            "from hpo import grid\ndef net(n_outputs: int): ...\ngrid('loss', model=net)",
            "calls hpo while it is imported",
        ),
        (
            "mine.py:net",
            "from hpo.models import estimator\nfrom sklearn.svm import LinearSVC\n"
            "net = estimator(LinearSVC)",
            "LinearSVC has no predict_proba",
        ),
    ],
)
def test_an_unusable_model_file_is_reported_before_anything_is_written(
    hpo: Hpo, tmp_path: Path, entry: str, text: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(text)
    answer = hpo("grid", "normalize", "--model", entry, "--set", f"image_size={SIZE}")
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.splitlines()) <= 4
    assert not (tmp_path / "studies").exists()


def test_a_module_on_the_path_is_part_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib" / "mine").mkdir(parents=True)
    (tmp_path / "lib" / "mine" / "__init__.py").touch()
    part = tmp_path / "lib" / "mine" / "part.py"
    (tmp_path / "uses.py").write_text(
        "from mine.part import WIDTH\n\ndef net(*, n_outputs: int): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    digests = set()
    for width in (4, 64):
        part.write_text(f"WIDTH = {width}")
        digests.add(models.open_custom(f"{tmp_path}/uses.py:net")[0].digest)
    assert len(digests) == 2


def test_python_accepts_the_model_function_itself(
    monkeypatch: pytest.MonkeyPatch, xrays: Path, cnn: Path
) -> None:
    monkeypatch.chdir(cnn.parent)
    monkeypatch.syspath_prepend(str(cnn.parent))
    function = importlib.import_module("cnn").cnn
    fixed = {"image_size": SIZE, "depth": 1, "epochs": 1}
    swept = grid("channels", model=function, data=xrays, set=fixed, repeats=1, lanes=1)
    assert [c.params["channels"] for c in swept.configurations] == [16, 32, 64]
    with pytest.raises(UsageError, match="which runs only if you name it: add --model"):
        swept.export("out")
    home = swept.export("out", model=function) / "best"
    assert (home / "model.pt2").is_file()
    Image.fromarray(np.load(xrays / "test_pneumonia.npy")[0]).save("x.png")
    assert len(swept.predict("x.png", model=function)) == 1
    space = {"base": fixed, "search": {"channels": {"choices": [16, 32]}}}
    found = search(model=function, space=space, data=xrays, trials=2, finalists=0, lanes=1)
    assert found.best
    assert found.best.config.identity() != swept.configurations[2].config.identity()
    with pytest.raises(ModelError, match=r"must be a function in a file"):
        grid("channels", model=lambda n_outputs: n_outputs)
    with pytest.raises(UsageError, match=r"Did you mean trials"):
        search(model=function, trails=3)
