"""hpo predict: the probability for image files, from weights, an export or a study."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from hpo.data.source import to_8_bits
from hpo.training import machine
from tests.cli.conftest import GRID, OUT_OF_TIME, assert_error
from tests.conftest import SIZE, SMALL, Answer, Hpo, make_images


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Three image files."""
    files = [tmp_path / f"image-{i}.png" for i in range(3)]
    for file, image in zip(files, make_images(3, is_ill=True, seed=5), strict=True):
        Image.fromarray(image).save(file)
    return files


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The state dict of a logistic regression on pixels."""
    path = tmp_path / "w.pt"
    torch.manual_seed(0)
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(SIZE**2, 1)).state_dict(), path)
    return path


def probabilities(answer: Answer) -> list[float]:
    assert answer.code == 0, answer.err
    return [image["probability"] for image in answer.json["images"]]


def test_predict_prints_a_probability_per_file_and_names_broken_files_first(
    hpo: Hpo, weights: Path, images: list[Path]
) -> None:
    found = probabilities(hpo("predict", weights, *images, "--json"))
    state = torch.load(weights)
    pixels = np.stack([np.asarray(Image.open(file)) for file in images]).reshape(3, -1)
    z = pixels / 255 @ state["1.weight"].numpy().T + state["1.bias"].numpy()
    assert found == pytest.approx(list(1 / (1 + np.exp(-z[:, 0]))), abs=1e-5)
    shown = hpo("predict", weights, *images)
    lines = [["label", "pneumonia", "image"]]
    for p, file in zip(found, images, strict=True):
        lines.append(["pneumonia" if p > 0.5 else "normal", f"{p:.4f}", str(file)])
    assert [line.split() for line in shown.out.splitlines()] == lines
    assert "Linear(256, 1)" in shown.err

    images[1].write_bytes(images[1].read_bytes()[:60])
    answer = hpo("predict", weights, *images, "nowhere.png", "--json")
    assert answer.code == 1
    assert ["error" in one for one in answer.json["images"]] == [False, True, False, True]
    assert ["probability" in one for one in answer.json["images"]] == [True, False, True, False]
    shown = hpo("predict", weights, *images, "nowhere.png")
    assert (shown.code, len(shown.out.splitlines())) == (1, 3)
    assert str(images[1]) in shown.err
    assert "Error: There is no file nowhere.png.\n" in shown.err
    assert shown.err.index("nowhere.png") < shown.err.index("Network")
    nothing = hpo("predict", weights, "nowhere.png")
    assert (nothing.code, nothing.out, "Network" in nothing.err) == (1, "", False)
    assert_error(hpo("predict", images[0], images[0]), 1, "contains no weights")
    answer = hpo("predict", "nothing", images[0], "--json")
    assert (answer.code, answer.json["error"]["kind"]) == (1, "storage")
    assert "There is no file or folder nothing. " in answer.json["error"]["message"]


@pytest.mark.usefixtures("mine")
def test_an_exported_folder_and_its_study_predict_the_mean_and_its_range(
    hpo: Hpo, xrays: Path, images: list[Path]
) -> None:
    best = hpo("show", "mine", "--json").json["best"]
    size = best["params"]["batch_size"]
    hpo("export", "mine", "--out", "out")
    folder = Path("out/best")
    document = hpo("predict", folder, *images, "--json").json
    files = [str(folder / f"weights-repeat-{repeat}.safetensors") for repeat in (1, 2)]
    assert document["weights"] == files
    for image in document["images"]:
        assert len(image["repeats"]) == 2
        assert image["probability"] == pytest.approx(sum(image["repeats"]) / 2)
        assert [image["lowest"], image["highest"]] == sorted(image["repeats"])
    single = probabilities(
        hpo("predict", folder / "weights-repeat-2.safetensors", *images, "--json")
    )
    assert single == [image["repeats"][1] for image in document["images"]]
    shown = hpo("predict", folder, *images)
    header, *lines = shown.out.splitlines()
    assert header.split() == ["label", "pneumonia", "lowest", "highest", "image"]
    assert [line.split()[1:4] for line in lines] == [
        [f"{image[key]:.4f}" for key in ("probability", "lowest", "highest")]
        for image in document["images"]
    ]
    assert "the mean of 2 networks" in shown.err
    of_study = hpo("predict", "mine", *images, "--json").json
    assert of_study["images"] == document["images"]
    assert {Path(file).parent for file in of_study["weights"]} == {Path("studies/mine/weights")}
    assert f"mine (its best configuration, batch_size {size})" in of_study["notes"][0]

    # A study whose runs were all reused has no weights.
    grid = (*GRID, "--data", xrays, "--study")
    assert hpo(*grid, "again").code == 0
    missing = f"2 of 2 repeats of the best configuration of again (batch_size {size})"
    assert_error(
        hpo("predict", "again", *images), 1, missing, "`hpo export again`, which retrains"
    )
    assert "Retrained" in hpo("export", "again").err
    found = probabilities(hpo("predict", "again", *images, "--json"))
    assert found == [image["probability"] for image in document["images"]]
    assert "Retrained" not in hpo("export", "again").err
    hpo(*grid, "begun", "--repeats", "3", *OUT_OF_TIME)
    begun = "No configuration of begun is complete yet: hpo resume begun"
    assert_error(hpo("predict", "begun", *images), 1, begun)


def test_16_bit_images_are_scaled_like_the_training_images(hpo: Hpo, tmp_path: Path) -> None:
    folder = tmp_path / "xrays"
    for kind, is_ill in (("NORMAL", False), ("PNEUMONIA", True)):
        (folder / "train" / kind).mkdir(parents=True)
        for i, image in enumerate(make_images(10, is_ill=is_ill, seed=is_ill)):
            wide = Image.fromarray(image.astype(np.uint16) * 22)  # up to 3,938: 12 bits
            wide.save(folder / "train" / kind / f"{i}.png")
    grid = ("grid", "--param", "batch_size", "--values", "8", "--repeats", "1", "--study", "mine")
    assert hpo(*grid, *SMALL, "--data", folder).code == 0
    assert hpo("export", "mine").code == 0
    dark = make_images(1, is_ill=False, seed=9)[0].astype(np.uint16) * 4
    Image.fromarray(dark).save("dark.png")
    Image.fromarray(to_8_bits(dark, 12)).save("same.png")
    (exported,) = Path("studies/mine/export").glob("*/*.safetensors")
    moved = shutil.copy(exported, tmp_path / "moved.safetensors")
    for model in ("mine", exported.parent, moved):
        answer = hpo("predict", model, "dark.png", "same.png", "--json")
        dark_one, same = probabilities(answer)
        assert dark_one == same
    # Other data of fewer bits are evaluated as they are predicted.
    other = tmp_path / "other"
    for kind, is_ill in (("NORMAL", False), ("PNEUMONIA", True)):
        (other / kind).mkdir(parents=True)
        for i, image in enumerate(make_images(10, is_ill=is_ill, seed=4 + is_ill)):
            Image.fromarray(image.astype(np.uint16) * 4).save(other / kind / f"{i}.png")
    (other / "NORMAL" / "._0.png").write_bytes(b"left by macOS")
    found = hpo("evaluate", "mine", "--on", other, "--json").json
    predicted = hpo("predict", "mine", other, "--json").json["images"]
    is_right = [Path(one["file"]).parent.name.lower() == one["label"] for one in predicted]
    assert (found["n_right"], len(is_right)) == (sum(is_right), 20)


def test_the_first_of_equally_good_configurations_wins_and_predicts(
    hpo: Hpo, xrays: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the other one finishes first."""
    monkeypatch.setattr(machine, "n_cores", lambda: 1)
    still = ("--set", "learning_rate=1e-9", "--set", "image_size=16", "--set", "hidden=8")
    grid = ("grid", "--param", "epochs", "--values", "4,2", "--repeats", "2", "--study", "mine")
    found = hpo(*grid, *still, "--lanes", "4", "--data", xrays, "--json").json
    assert len({c["score"] for c in found["configurations"]}) == 1
    assert found["best"]["params"] == {"epochs": 4}
    assert "epochs 4" in hpo("predict", "mine", *images, "--json").json["notes"][0]
