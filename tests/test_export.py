"""What an export holds: weights that the reports' own network loads, curves, tables."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from hpo.evaluate.test import ATTRIBUTE
from hpo.storage.opening import open_storage
from hpo.storage.url import DEFAULT_URL
from hpo.study.study import open_study
from tests.conftest import SIZE, SMALL, Hpo

GRID = (
    "grid", "--param", "loss", "--values", "bce,ce", "--repeats", "2", "--epochs", "2",
    "--set", f"image_size={SIZE}", "--set", "hidden=8-6",
)  # fmt: skip


@pytest.fixture
def exported(hpo: Hpo, xrays: Path) -> Path:
    """The exported folder of a finished grid with one and with two outputs."""
    assert hpo(*GRID, "--data", xrays, "--study", "mine", "--quiet").code == 0
    assert hpo("export", "mine", "--out", "out", "--weights", "all").code == 0
    return Path("out")


def reports_network(n_outputs: int) -> nn.Sequential:
    """The network as the reports write it, line by line."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(SIZE * SIZE, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(8, 6),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(6, n_outputs),
    )


def test_the_reports_own_sequential_loads_every_state_dict_strictly(
    exported: Path, xrays: Path, hpo: Hpo
) -> None:
    images = np.load(xrays / "test_pneumonia.npy")[:4]
    for folder, n_outputs in (("001_loss-bce", 1), ("002_loss-ce", 2)):
        for repeat in (1, 2):
            path = exported / folder / f"weights-repeat-{repeat}.pt"
            network = reports_network(n_outputs)
            network.load_state_dict(torch.load(path, weights_only=True), strict=True)
            told = answers(network.eval(), images)
            assert told == pytest.approx(predicted(hpo, path, images), abs=1e-5)


def predicted(hpo: Hpo, path: Path, images: np.ndarray) -> list[float]:
    from PIL import Image

    files = [Path(f"{i}.png") for i in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(file)
    return [one["probability"] for one in hpo("predict", path, *files, "--json").json["images"]]


def test_both_formats_hold_the_same_weights(exported: Path) -> None:
    paths = sorted(exported.rglob("*.safetensors"))
    assert len(paths) == 4
    for path in paths:
        one, other = load_file(path), torch.load(path.with_suffix(".pt"), weights_only=True)
        assert one.keys() == other.keys()
        for key, value in one.items():
            np.testing.assert_array_equal(value, other[key].numpy(), strict=True)


def test_a_configuration_has_settings_curves_weights_and_a_script(exported: Path) -> None:
    folder = exported / "001_loss-bce"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "curves-repeat-1.csv",
        "curves-repeat-2.csv",
        "network.py",
        "weights-repeat-1.pt",
        "weights-repeat-1.safetensors",
        "weights-repeat-2.pt",
        "weights-repeat-2.safetensors",
    ]
    config = json.loads((folder / "config.json").read_text())
    assert config["params"] == {"loss": "bce"}
    assert config["config"]["hidden"] == [8, 6]
    header, *epochs = (folder / "curves-repeat-2.csv").read_text().splitlines()
    assert header.startswith("epoch,learning_rate,train_loss,train_accuracy,validation_loss")
    assert [line.split(",")[0] for line in epochs] == ["1", "2"]


def test_the_script_runs_as_it_is(exported: Path) -> None:
    script = exported / "002_loss-ce" / "network.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_opened_test_is_written_beside_the_weights(
    hpo: Hpo, exported: Path, xrays: Path
) -> None:
    assert hpo("evaluate", "mine").code == 0
    assert hpo("export", "mine", "--out", "opened").code == 0
    labels = np.array([0] * 8 + [1] * 8)
    images = np.concatenate(
        [np.load(xrays / f"test_{name}.npy") for name in ("normal", "pneumonia")]
    )
    for folder, n_outputs in (("001_loss-bce", 1), ("002_loss-ce", 2)):
        text = (Path("opened") / folder / "test.txt").read_text()
        told = []
        for repeat in (1, 2):
            state = torch.load(
                exported / folder / f"weights-repeat-{repeat}.pt", weights_only=True
            )
            network = reports_network(n_outputs)
            network.load_state_dict(state)
            told.append(answers(network.eval(), images))
        mean = sum(int(((p > 0.5) == labels).sum()) for p in told) / 2
        of_ensemble = int(((sum(told) / 2 > 0.5) == labels).sum())
        assert f"right: {mean:.4g} of 16 images, mean of 2 repeats\n" in text
        assert f"accuracy: {100 * mean / 16:.2f} %" in text
        assert "The test was opened on" in text
        assert f"\nensemble right: {of_ensemble} of 16 images\n" in text
        assert "\nensemble auroc: " in text
        assert "\nensemble threshold: 0.5\n" in text


def test_weights_of_the_search_leave_when_finalists_speak(hpo: Hpo, xrays: Path) -> None:
    search = (
        "search",
        "--trials",
        "2",
        "--final-repeats",
        "2",
        "--param",
        "learning_rate",
        *SMALL,
    )
    search += ("--data", str(xrays), "--study", "s", "--quiet")
    assert hpo(*search, "--finalists", "0").code == 0
    assert hpo("export", "s", "--out", "out", "--weights", "all").code == 0
    ours = sorted(Path("out").rglob("weights-repeat-1.*"))
    assert len(ours) == 4
    own = [path.with_name("weights-repeat-1.pt.old") for path in ours[::2]]
    for path in own:
        path.write_bytes(b"the user's")
    assert hpo(*search, "--finalists", "2").code == 0
    assert hpo("export", "s", "--out", "out").code == 0
    home = home_of(hpo("show", "s", "--json").json["best"]["params"], Path("out"))
    assert sorted(path.name for path in home.glob("weights*")) == [
        "weights-repeat-1.pt.old",
        *(f"weights-repeat-{n}.{suffix}" for n in (2, 3) for suffix in ("pt", "safetensors")),
    ]
    assert all(path.exists() for path in own)
    # Of the other one no weights were asked for: what is there is its own, as it was.
    assert len([path for path in ours if path.exists()]) == 2


def test_the_ensemble_is_of_the_repeats_alone_whatever_lies_beside_them(
    exported: Path, hpo: Hpo, xrays: Path
) -> None:
    home = exported / "001_loss-bce"
    stranger = home / "from-elsewhere.pt"
    torch.save({"1.weight": torch.zeros(2, 2)}, stranger)
    image = np.load(xrays / "test_pneumonia.npy")[:1]
    names: dict[str, Any] = {"__file__": str(home / "network.py")}
    exec((home / "network.py").read_text(), names)
    told = names["ensemble"](torch.from_numpy(image).float() / 255)
    stranger.unlink()
    assert told.tolist() == pytest.approx(predicted(hpo, home, image), abs=1e-5)


@pytest.mark.parametrize("run", ["../../outside", None])
def test_a_run_that_is_no_run_leads_nowhere(hpo: Hpo, exported: Path, run: object) -> None:
    shown = hpo("show", "mine", "--json").json
    best = shown["best"]["params"]
    (repeats,) = (c["repeats"] for c in shown["configurations"] if c["params"] == best)
    trial = repeats[0]["trial"]
    with closing(sqlite3.connect("studies/hpo.db")) as database, database:
        database.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'run' AND trial_id = "
            "(SELECT trial_id FROM trials WHERE number = ?)",
            (json.dumps(run), trial),
        )
    before = written()
    again = hpo("export", "mine", "--out", "again")
    assert again.code == 0, again.err
    for path in home_of(best, exported).glob("*.safetensors"):
        assert path.read_bytes() == (home_of(best, Path("again")) / path.name).read_bytes()
    shutil.rmtree("again")
    assert written() == before
    answer = hpo("predict", "mine", "image.png")
    assert answer.code == 1
    assert f"repeat 1 of loss {best['loss']} names no run" in " ".join(answer.err.split())


def written() -> dict[Path, int]:
    """Return when every file of weights was written."""
    return {path: path.stat().st_mtime_ns for path in Path().rglob("*.safetensors")}


def home_of(params: object, folder: Path) -> Path:
    """Return the folder of a configuration in an export."""
    (home,) = (
        path.parent
        for path in folder.rglob("config.json")
        if json.loads(path.read_text())["params"] == params
    )
    return home


def test_one_repeat_is_exported_without_an_ensemble(hpo: Hpo, xrays: Path) -> None:
    hpo(*GRID, "--repeats", "1", "--data", xrays, "--study", "one", "--quiet")
    hpo("evaluate", "one")
    hpo("export", "one", "--out", "one")
    text = Path("one/001_loss-bce/test.txt").read_text()
    assert "accuracy: " in text
    assert "ensemble" not in text


def test_an_opening_is_exported_whatever_its_configurations_were_called(
    hpo: Hpo, xrays: Path
) -> None:
    hpo(*GRID, "--repeats", "1", "--data", xrays, "--study", "one", "--quiet")
    hpo("evaluate", "one")
    study = open_study(open_storage(DEFAULT_URL), "one")
    document = study.user_attrs[ATTRIBUTE]
    for evaluated in document["configurations"]:
        evaluated["value"] = f"as it was called before: {evaluated['value']}"
    study.set_user_attr(ATTRIBUTE, document)
    hpo("export", "one", "--out", "one")
    for name in ("001_loss-bce", "002_loss-ce"):
        assert "accuracy: " in (Path("one") / name / "test.txt").read_text()


def answers(network: nn.Sequential, images: np.ndarray) -> np.ndarray:
    """Return the probabilities that a network gives to images, pixels / 255."""
    with torch.no_grad():
        z = network(torch.from_numpy(images).float() / 255)
    return (z.softmax(1)[:, 1] if z.shape[1] == 2 else z.sigmoid()[:, 0]).numpy()


def test_nothing_of_the_test_is_exported_while_it_is_sealed(exported: Path) -> None:
    assert not list(exported.rglob("test.txt"))
    for path in exported.rglob("*.csv"):
        assert "test" not in path.read_text().splitlines()[0]
