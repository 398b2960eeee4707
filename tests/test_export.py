"""Contents of an export: tables, curves, test results, and weights that plain torch loads."""

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from hpo.errors import OutputError
from hpo.export import export, folder_name
from hpo.study.gathering import StoredStudy
from hpo.study.summary import StudySummary
from tests.conftest import SIZE, Hpo
from tests.fake_studies import CHANGES, FakeStudy, add_finalists, fake_grid, fake_search
from tests.weights.conftest import reports_network

GRID = (
    "grid", "--param", "loss", "--values", "bce,ce", "--repeats", "2", "--epochs", "2",
    "--set", f"image_size={SIZE}", "--set", "hidden=8-6",
)  # fmt: skip


def probabilities(path: Path, n_outputs: int, images: np.ndarray) -> np.ndarray:
    """Return the predictions of the course network with exported weights."""
    network = reports_network(n_outputs, side=SIZE, hidden=(8, 6))
    network.load_state_dict(load_file(path), strict=True)
    with torch.no_grad():
        z = network(torch.from_numpy(images).float() / 255)
    return (z.softmax(1)[:, 1] if z.shape[1] == 2 else z.sigmoid()[:, 0]).numpy()


def predicted(hpo: Hpo, path: Path, images: np.ndarray) -> list[float]:
    files = [Path(f"{i}.png") for i in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(file)
    return [one["probability"] for one in hpo("predict", path, *files, "--json").json["images"]]


def home_of(params: object, folder: Path) -> Path:
    """Return the folder of a configuration in an export."""
    (home,) = (
        path.parent
        for path in folder.rglob("config.json")
        if json.loads(path.read_text())["params"] == params
    )
    return home


def test_an_export_loads_in_plain_torch_and_scores_like_the_study(hpo: Hpo, xrays: Path) -> None:
    assert hpo(*GRID, "--data", xrays, "--study", "mine", "--quiet").code == 0
    assert hpo("export", "mine", "--out", "out", "--all").code == 0
    exported = Path("out")
    folder = home_of({"loss": "bce"}, exported)
    model = {"model.pt2", "model_card.md", "predict.py"}
    assert sorted({path.name for path in folder.iterdir()} - model) == [
        "config.json", "curves-repeat-1.csv", "curves-repeat-2.csv",
        "weights-repeat-1.safetensors", "weights-repeat-2.safetensors",
    ]  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    assert (config["params"], config["config"]["hidden"]) == ({"loss": "bce"}, [8, 6])
    header, *epochs = (folder / "curves-repeat-2.csv").read_text().splitlines()
    assert header.startswith("epoch,learning_rate,train_loss,train_accuracy,validation_loss")
    assert [line.split(",")[0] for line in epochs] == ["1", "2"]
    assert not list(exported.rglob("test.txt"))
    assert model < {path.name for path in (exported / "best").iterdir()}

    tested = hpo("evaluate", "mine", "--json").json["configurations"]
    assert hpo("export", "mine", "--out", "opened", "--all").code == 0
    labels = np.array([0] * 8 + [1] * 8)
    images = np.concatenate([np.load(xrays / f"test_{n}.npy") for n in ("normal", "pneumonia")])
    assert "accuracy, % | " in (Path("opened") / "best" / "model_card.md").read_text()
    for configuration, (loss, n_outputs) in zip(tested, (("bce", 1), ("ce", 2)), strict=True):
        home = home_of({"loss": loss}, exported)
        paths = [home / f"weights-repeat-{repeat}.safetensors" for repeat in (1, 2)]
        found = [probabilities(path, n_outputs, images) for path in paths]
        predictions = predicted(hpo, paths[1], images[-4:])
        assert predictions == pytest.approx(list(found[1][-4:]), abs=1e-5)
        mean = sum(int(((p > 0.5) == labels).sum()) for p in found) / 2
        of_ensemble = int(((sum(found) / 2 > 0.5) == labels).sum())
        text = (home_of({"loss": loss}, Path("opened")) / "test.txt").read_text()
        of_repeats, of_mean = text.split("ensemble of 2 repeats, as one model: ")
        assert f"mean of the repeats: {mean:.4g} of 16 images correct\n" in of_repeats
        assert f"accuracy: {mean / 16:.4f}" in of_repeats
        assert of_mean.startswith(f"{of_ensemble} of 16 images correct\n")
        assert "\nauroc: " in of_mean
        assert "The test was opened on " in text

        arguments = ("evaluate", "--weights", home, "--data", xrays)
        weights, ensemble = hpo(*arguments, "--json").json, configuration["ensemble"]
        assert (weights["n_right"], len(weights["members"])) == (ensemble["n_right"], 2)
        for metric, value in weights["metrics"].items():
            of_study = ensemble["metrics"][metric]["value"]
            assert value["value"] == pytest.approx(of_study, abs=1e-6)
            alone = [member["metrics"][metric] for member in weights["members"]]
            mean = configuration["metrics"][metric]["value"]
            assert sum(alone) / 2 == pytest.approx(mean, abs=1e-6)
    shown = hpo(*arguments).out
    assert f"{home.name}, ensemble of 2, tested on xrays" in shown
    assert "range of members" in shown


def tables_of(fake: FakeStudy, folder: Path, summary: StudySummary | None = None) -> Path:
    """Export a study without weights."""
    stored = StoredStudy(
        study=fake.study,
        summary=summary or fake.summary,
        runs=fake.runs,
        folder=folder,
    )
    assert list(export(stored, folder / "out", is_all=True, has_weights=False)) == []
    return folder / "out"


def rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file, a dictionary per row."""
    return list(csv.DictReader(io.StringIO(path.read_text())))


def files_in(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_csv_cells_are_never_formulas_and_numbers_stay_numbers(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1)
    first, *_ = fake.summary.configurations
    shown = {"=1+1": "'=1+1", "@SUM(1)": "'@SUM(1)", "\t=1": r"\t=1", "a;=1": "a;'=1"}
    shown |= {"-1+1": "'-1+1", "-0.5": "-0.5", "\x1b[2J": r"\x1b[2J", "a-b": "a-b"}
    configurations = tuple(
        replace(
            first,
            params={"batch_size": sign},
            repeats=tuple(replace(repeat, reason=sign) for repeat in first.repeats),
        )
        for sign in shown
    )
    record = replace(fake.record, names=("batch_size", "=1"))
    summary = replace(fake.summary, configurations=configurations, record=record)
    out = tables_of(fake, tmp_path, summary)
    found = rows(out / "configurations.csv")
    assert [row["batch_size"] for row in found] == [*shown.values()]
    assert "'=1" in found[0]
    assert [row["reason"] for row in rows(out / "trials.csv")] == [*shown.values()]


@pytest.mark.parametrize("pattern", ["trials.csv", "*/config.json"])
def test_files_of_others_are_never_overwritten(tmp_path: Path, pattern: str) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1)
    out = tables_of(fake, tmp_path)
    names = sorted(path.relative_to(out) for path in out.glob(pattern))
    shutil.rmtree(out)
    for path in (out / "notes.txt", *(out / name for name in names)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    before = files_in(out)
    n_files = "1 file" if len(names) == 1 else "3 files"
    with pytest.raises(OutputError, match=f"overwrite {n_files} in .*, first {names[0]}"):
        tables_of(fake, tmp_path)
    assert files_in(out) == before
    for name in names:
        (out / name).unlink()
    tables_of(fake, tmp_path)
    assert (out / "notes.txt").read_text() == "mine"
    tables_of(fake, tmp_path)  # Its own files are written again.


def test_only_finalists_have_retrained_means(tmp_path: Path) -> None:
    fake = add_finalists(fake_search(tmp_path / "runs", 14), 0.90, 0.95, 0.88)
    found = rows(tables_of(fake, tmp_path) / "configurations.csv")
    finalists = fake.summary.finalists
    assert finalists is not None
    fresh = {number: row for number, row in enumerate(found, start=1) if row["fresh"]}
    assert set(fresh) == {member.number for member in finalists.members}
    for member in finalists.members:
        row = fresh[member.number]
        assert float(row["fresh"]) == member.fresh.mean
        assert float(row["fresh_low"]) == member.fresh.low
        assert (row["n_repeats"], row["n_fresh"]) == ("1", "4")


def test_stress_metrics_are_exported(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1, metric="stress_accuracy")
    first = fake.summary.configurations[0]
    out = tables_of(fake, tmp_path)
    found = rows(out / "configurations.csv")
    assert {row["metric"] for row in found} == {"stress_accuracy"}
    means = [c.score.mean for c in fake.summary.configurations if c.score]
    assert [float(row["score"]) for row in found] == means
    assert "fresh" not in found[0]
    home = out / folder_name(first)
    curves = rows(home / "curves-repeat-1.csv")
    assert [row["epoch"] for row in curves if row["stress_accuracy"]] == ["4", "8", "12"]
    assert float(curves[3]["stress_accuracy"]) == pytest.approx(first.repeats[0].reported[4])
    battery = rows(home / "stress-repeat-1.csv")
    assert [row["change"] for row in battery] == ["unchanged", *CHANGES]
    under = [float(row["accuracy"]) for row in battery[1:]]
    assert sum(under) / len(under) == pytest.approx(first.repeats[0].score)
