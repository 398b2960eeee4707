"""hpo predict: the probability for image files, from weights or from an exported folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from hpo.data.source import to_8_bits
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


def expected(weights: Path, images: list[Path], scale: float) -> list[float]:
    state = torch.load(weights)
    pixels = np.stack([np.asarray(Image.open(file)) for file in images]).reshape(3, -1)
    z = pixels * scale @ state["1.weight"].numpy().T + state["1.bias"].numpy()
    return list(1 / (1 + np.exp(-z[:, 0])))


def test_it_prints_a_probability_per_file(hpo: Hpo, weights: Path, images: list[Path]) -> None:
    told = probabilities(hpo("predict", weights, *images, "--json"))
    assert told == pytest.approx(expected(weights, images, 1 / 255), abs=1e-5)
    shown = hpo("predict", weights, *images)
    lines = shown.out.splitlines()
    assert lines[0].split() == ["pneumonia", "image"]
    assert [line.split() for line in lines[1:]] == [
        [f"{p:.4f}", str(file)] for p, file in zip(told, images, strict=True)
    ]
    assert "Linear(256, 1)" in shown.err


def test_broken_images_are_named_first_and_the_rest_predicted(
    hpo: Hpo, weights: Path, images: list[Path]
) -> None:
    images[1].write_bytes(images[1].read_bytes()[:60])
    answer = hpo("predict", weights, *images, "nowhere.png", "--json")
    assert answer.code == 1
    found = answer.json["images"]
    assert ["probability" in one for one in found] == [True, False, True, False]
    assert ["error" in one for one in found] == [False, True, False, True]
    shown = hpo("predict", weights, *images, "nowhere.png")
    assert shown.code == 1
    assert len(shown.out.splitlines()) == 3
    assert str(images[1]) in shown.err
    assert "Error: There is no file nowhere.png.\n" in shown.err
    assert shown.err.index("nowhere.png") < shown.err.index("Network")
    nothing = hpo("predict", weights, "nowhere.png")
    assert (nothing.code, nothing.out) == (1, "")
    assert "Network" not in nothing.err


@pytest.fixture
def mine(hpo: Hpo, xrays: Path) -> tuple[object, ...]:
    """The command of a finished grid called mine, with two repeats."""
    command = (
        "grid", "--param", "batch_size", "--values", "8", "--repeats", "2", *SMALL,
        "--set", "normalize=none", "--data", xrays, "--quiet",
    )  # fmt: skip
    assert hpo(*command, "--study", "mine").code == 0
    return command


@pytest.mark.usefixtures("mine")
def test_an_exported_folder_and_its_study_give_the_mean_and_its_spread(
    hpo: Hpo, images: list[Path]
) -> None:
    hpo("export", "mine", "--out", "out")
    folder = Path("out/001_batch_size-8")
    document = hpo("predict", folder, *images, "--json").json
    assert document["weights"] == [
        str(folder / f"weights-repeat-{repeat}.safetensors") for repeat in (1, 2)
    ]
    for image in document["images"]:
        assert len(image["repeats"]) == 2
        assert image["probability"] == pytest.approx(sum(image["repeats"]) / 2)
        assert [image["lowest"], image["highest"]] == sorted(image["repeats"])
    single = probabilities(hpo("predict", folder / "weights-repeat-2.pt", *images, "--json"))
    assert single == [image["repeats"][1] for image in document["images"]]
    shown = hpo("predict", folder, *images)
    header, *lines = shown.out.splitlines()
    assert header.split() == ["pneumonia", "lowest", "highest", "image"]
    assert [line.split()[:3] for line in lines] == [
        [f"{image[key]:.4f}" for key in ("probability", "lowest", "highest")]
        for image in document["images"]
    ]
    assert "the mean of 2 networks" in shown.err
    of_study = hpo("predict", "mine", *images, "--json").json
    assert of_study["images"] == document["images"]
    assert {Path(file).parent for file in of_study["weights"]} == {Path("studies/mine/weights")}
    assert "mine (its best configuration, batch_size 8)" in of_study["notes"][0]


def test_weights_that_a_study_did_not_keep_are_said_to_come_from_an_export(
    hpo: Hpo, mine: tuple[object, ...], images: list[Path]
) -> None:
    assert hpo(*mine, "--study", "again").code == 0
    answer = hpo("predict", "again", *images)
    assert answer.code == 1
    text = " ".join(answer.err.split())
    assert "2 of 2 repeats of the best configuration of again (batch_size 8)" in text
    assert "`hpo export again` trains them again" in text
    assert "Retrained" in hpo("export", "again").err
    told = probabilities(hpo("predict", "again", *images, "--json"))
    assert told == probabilities(hpo("predict", "mine", *images, "--json"))
    assert "Retrained" not in hpo("export", "again").err


def test_a_study_without_a_complete_configuration_has_no_winner(
    hpo: Hpo, mine: tuple[object, ...], images: list[Path]
) -> None:
    hpo(*mine, "--study", "begun", "--repeats", "3", "--timeout", "0.000001")
    answer = hpo("predict", "begun", *images)
    assert answer.code == 1
    assert "No configuration of begun is complete yet: hpo resume begun" in answer.err


def test_a_folder_of_weights_from_elsewhere_is_averaged_or_all_that_is_wrong_is_named(
    hpo: Hpo, weights: Path, images: list[Path]
) -> None:
    folder = weights.parent / "several"
    folder.mkdir()
    torch.manual_seed(1)
    two_outputs = nn.Sequential(
        nn.Flatten(), nn.Linear(SIZE**2, 4), nn.ReLU(), nn.Linear(4, 2)
    ).state_dict()
    torch.save(two_outputs, folder / "w-10.pth")
    (folder / "w-2.pt").write_bytes(weights.read_bytes())
    (folder / "readme.txt").write_text("not weights")
    document = hpo("predict", folder, *images, "--json").json
    files = ("w-2.pt", "w-10.pth")
    assert [Path(file).name for file in document["weights"]] == list(files)
    each = [probabilities(hpo("predict", folder / name, *images, "--json")) for name in files]
    for image, one, other in zip(document["images"], *each, strict=True):
        assert image["repeats"] == [one, other]
        assert image["probability"] == pytest.approx((one + other) / 2)
    assert document["architecture"].count("Flatten") == 2
    assert any(n.startswith("w-10.pth: The probability is the softmax") for n in document["notes"])
    (folder / "cut.pt").write_bytes(weights.read_bytes()[:100])
    (folder / "empty.safetensors").write_bytes(b"")
    answer = hpo("predict", folder, *images)
    assert answer.code == 1
    for words in ("2 of 4 files of weights in", "cut.pt is cut", "empty.safetensors is empty"):
        assert words in " ".join(answer.err.split())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "MODEL"),
        (("w.pt",), 2, "IMAGE"),
        (("w.pt", "image-0.png", "--input-scale", "half"), 2, "unit"),
        (("w.pt", "image-0.png", "--activation", "swish"), 2, "relu"),
        (("nowhere.pt", "image-0.png"), 1, "nowhere.pt cannot be read"),
        (("image-0.png", "image-0.png"), 1, "holds no weights"),
        (("none", "image-0.png"), 1, "holds no weights"),
        (("mine", "image-0.png", "--activation", "gelu"), 2, "leave them out"),
    ],
)
@pytest.mark.usefixtures("weights", "images")
def test_wrong_usage_and_bad_files_have_one_message(
    hpo: Hpo, arguments: tuple[str, ...], code: int, words: str
) -> None:
    Path("none").mkdir()
    answer = hpo("predict", *arguments)
    assert answer.code == code, answer
    assert words in answer.err
    assert "Traceback" not in answer.err
    if code == 1:
        error = hpo("predict", *arguments, "--json").json["error"]
        assert error["kind"] == "weights"
        assert words in error["message"]


@pytest.mark.usefixtures("images")
def test_what_is_neither_a_file_nor_a_study_is_said_to_be_neither(hpo: Hpo) -> None:
    without_studies = hpo("predict", "nothing", "image-0.png", "--json").json["error"]
    assert without_studies["kind"] == "storage"
    hpo("grid", "--param", "batch_size", "--values", "8", "--repeats", "1", *SMALL, "--quiet")
    answer = hpo("predict", "nothing", "image-0.png")
    assert answer.code == 1
    for words in ("There is no file or folder nothing", "There is no study 'nothing'"):
        assert words in " ".join(answer.err.split())


def test_16_bit_images_are_scaled_as_those_of_the_training(hpo: Hpo, tmp_path: Path) -> None:
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
    Image.fromarray(dark).save(tmp_path / "dark.png")
    Image.fromarray(to_8_bits(dark, 12)).save(tmp_path / "same.png")
    (exported,) = Path("studies/mine/export").glob("*/*.safetensors")
    moved = shutil.copy(exported, tmp_path / "moved.safetensors")

    for model in ("mine", exported.parent, moved):
        dark_one, same = probabilities(
            hpo("predict", model, tmp_path / "dark.png", tmp_path / "same.png", "--json")
        )
        assert dark_one == same


@pytest.mark.parametrize("epochs", ["4,2", "2,4"])
def test_of_configurations_with_equal_scores_the_first_wins_and_predicts(
    hpo: Hpo, xrays: Path, images: list[Path], epochs: str
) -> None:
    """Whichever ends first, which with 2 epochs is the other one."""
    still = ("--set", "learning_rate=1e-9", "--set", "image_size=16", "--set", "hidden=8")
    grid = ("grid", "--param", "epochs", "--values", epochs, "--repeats", "2", "--study", "mine")
    found = hpo(*grid, *still, "--lanes", "4", "--data", xrays, "--json").json
    assert len({c["score"] for c in found["configurations"]}) == 1
    first = found["configurations"][0]["params"]["epochs"]
    assert found["best"]["params"] == {"epochs": first} == {"epochs": int(epochs[0])}
    answer = hpo("predict", "mine", *images, "--json")
    assert answer.code == 0, answer.err
    assert f"epochs {first}" in answer.json["notes"][0]
    assert hpo("show", "mine").out.index(f"│ {first} ") < hpo("show", "mine").out.index("majority")
