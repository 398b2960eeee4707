"""Exported models: prediction without hpo, the threshold, and whole folders."""

import csv
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import assert_error
from tests.conftest import Hpo, make_images

# As if hpo were not installed.
WITHOUT_HPO = "import sys, runpy; sys.modules['hpo'] = None; sys.argv = sys.argv[1:]; "
WITHOUT_HPO += "runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of images: odd sizes, colored, rotated, transparent, 16-bit."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    gray = make_images(1, is_ill=True, seed=5)[0]
    large = Image.fromarray(np.kron(gray, np.ones((5, 3), np.uint8)))
    large.save(folder / "large.jpeg", quality=90)
    Image.merge("RGB", [large, large.transpose(0), large]).save(folder / "color.jpg")
    turned = Image.Exif()
    turned[274] = 6  # Orientation.
    large.save(folder / "turned.jpeg", exif=turned)
    Image.merge("LA", [large, large.transpose(1)]).save(folder / "transparent.png")
    large.quantize(16).save(folder / "palette.png")
    Image.fromarray(gray.astype(np.uint16) * 20).save(folder / "more" / "wide.png")
    (folder / "notes.txt").write_text("no image")
    (folder / "folder.png").mkdir()
    (folder / ".hidden").mkdir()
    large.save(folder / ".hidden" / "copy.png")
    return folder


@pytest.mark.usefixtures("mine")
def test_the_exported_script_predicts_without_hpo_like_hpo_predict(
    hpo: Hpo, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = hpo("export", "mine", "--out", "out", "--threshold", "0.6")
    assert "python out/best/predict.py x.jpeg" in exported.out
    assert len((Path("out") / "best" / "predict.py").read_text().splitlines()) < 60
    found = hpo("predict", "mine", images, "--threshold", "0.6", "--json").json
    assert len(found["images"]) == 6
    files = [one["file"] for one in found["images"]]
    script = [sys.executable, "-I", "-c", WITHOUT_HPO, "out/best/predict.py", *files]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = [line.split("  ") for line in done.stdout.splitlines()]
    for (label, probability, file), one in zip(answers, found["images"], strict=True):
        assert (label, file) == (one["label"], one["file"])
        assert float(probability) == pytest.approx(one["probability"], abs=1e-6)
    # No arguments, or a broken file: a message and an exit code; other files are still read.
    for given, code, word in (
        ((), 2, "IMAGE"),
        ((images, images / "notes.txt", "none.png", files[0]), 1, "cannot be read"),
    ):
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, given)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path("out/best/predict.py", run_name="__main__")
        shown = capsys.readouterr()
        assert (end.value.code, word in shown.err) == (code, True)
    assert len(shown.out.splitlines()) == 1
    assert [line.count("cannot be read") for line in shown.err.splitlines()] == [1, 1, 1]
    # It refuses what hpo refuses: values of no known scale, and files made to exhaust memory.
    unknown = [images / "more" / "float.tiff", images / "more" / "negative.tiff"]
    Image.fromarray(np.ones((8, 8), np.float32)).save(unknown[0])
    Image.fromarray(np.full((8, 8), -1, np.int32)).save(unknown[1])
    with monkeypatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        patch.setattr(sys, "argv", ["predict.py", *map(str, unknown), files[0]])
        with pytest.raises(SystemExit):
            runpy.run_path("out/best/predict.py", run_name="__main__")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.count("cannot be read") for line in shown.err.splitlines()] == [1, 1, 1]
    assert hpo("predict", "mine", *unknown).code == 1
    card = (Path("out") / "best" / "model_card.md").read_text()
    assert "A probability above 0.6 means pneumonia." in card
    assert "The test set was not used for this model." in card
    # The folder and the single file contain the threshold too.
    for model in ("out/best", "out/best/weights-repeat-1.safetensors"):
        assert hpo("predict", model, files[0], "--json").json["threshold"] == 0.6


@pytest.mark.usefixtures("mine")
def test_predict_accepts_folders_and_patterns_and_writes_a_table(hpo: Hpo, images: Path) -> None:
    answer = hpo("predict", "mine", images / "more", images / "*.jp*g", "--csv", "answers.csv")
    assert answer.code == 0, answer.err
    with Path("answers.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["label", "pneumonia", "lowest", "highest", "image"]
    names = ["wide.png", "color.jpg", "large.jpeg", "turned.jpeg"]
    assert [Path(row[-1]).name for row in rows] == names
    for row, line in zip(rows, answer.out.splitlines()[1:], strict=True):
        assert line.split() == [row[0], *(f"{float(number):.4f}" for number in row[1:4]), row[4]]
        assert row[0] == ("pneumonia" if float(row[1]) > 0.5 else "normal")
    assert_error(hpo("predict", "mine", images / "*.gif"), 1, "There is no file", "*.gif")
    (images / "empty").mkdir()
    assert_error(hpo("predict", "mine", images / "empty"), 1, "contains no image file")


@pytest.mark.usefixtures("mine")
def test_the_threshold_chosen_on_validation_is_used(hpo: Hpo, images: Path) -> None:
    evaluated = hpo("evaluate", "mine", "--threshold", "sensitivity=0.95", "--json").json
    best = hpo("show", "mine", "--json").json["best"]["params"]
    (chosen,) = (c for c in evaluated["configurations"] if c["params"] == best)
    found = hpo("predict", "mine", images, "--json").json
    assert found["threshold"] == pytest.approx(chosen["ensemble"]["threshold"])
    assert hpo("predict", "mine", images, "--threshold", "0.3", "--json").json["threshold"] == 0.3
    assert hpo("export", "mine", "--out", "out", "--json").json["threshold"] == found["threshold"]
    refused = hpo("predict", "out/best", images, "--threshold", "youden")
    assert_error(refused, 2, "chosen on validation images", "the name of a study")
