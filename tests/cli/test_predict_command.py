"""hpo predict: the probability for image files, from weights or from an exported folder."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

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


def test_the_input_scale_changes_what_the_network_takes(
    hpo: Hpo, weights: Path, images: list[Path]
) -> None:
    told = probabilities(hpo("predict", weights, *images, "--json", "--input-scale", "raw"))
    assert told == pytest.approx(expected(weights, images, 1), abs=1e-5)


def test_broken_images_are_named_and_the_rest_predicted(
    hpo: Hpo, weights: Path, images: list[Path]
) -> None:
    images[1].write_bytes(images[1].read_bytes()[:60])
    answer = hpo("predict", weights, *images, "nowhere.png", "--json")
    assert answer.code == 1
    told = answer.json["images"]
    assert [("probability" in one, "error" in one) for one in told] == [
        (True, False),
        (False, True),
        (True, False),
        (False, True),
    ]
    shown = hpo("predict", weights, *images, "nowhere.png")
    assert shown.code == 1
    assert len(shown.out.splitlines()) == 3
    assert str(images[1]) in shown.err
    assert "nowhere.png" in shown.err
    assert "Traceback" not in shown.err


def test_an_exported_folder_tells_each_repeat_and_the_mean(
    hpo: Hpo, xrays: Path, images: list[Path]
) -> None:
    hpo(
        "grid", "--param", "batch_size", "--values", "8", "--repeats", "2", *SMALL,
        "--set", "normalize=none", "--data", xrays, "--study", "mine", "--quiet",
    )  # fmt: skip
    hpo("export", "mine", "--out", "out")
    folder = Path("out/000_batch_size-8")
    answer = hpo("predict", folder, *images, "--json")
    document = answer.json
    assert document["weights"] == [
        str(folder / f"weights-repeat-{repeat}.safetensors") for repeat in (0, 1)
    ]
    for image in document["images"]:
        assert len(image["repeats"]) == 2
        assert image["probability"] == pytest.approx(sum(image["repeats"]) / 2)
    single = probabilities(hpo("predict", folder / "weights-repeat-1.pt", *images, "--json"))
    assert single == [image["repeats"][1] for image in document["images"]]
    shown = hpo("predict", folder, *images)
    assert shown.out.splitlines()[0].split() == ["mean", "repeat-0", "repeat-1", "image"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "MODEL"),
        (("w.pt",), 2, "IMAGE"),
        (("w.pt", "image-0.png", "--input-scale", "half"), 2, "unit"),
        (("w.pt", "image-0.png", "--activation", "swish"), 2, "relu"),
        (("nowhere.pt", "image-0.png"), 1, "nowhere.pt cannot be read"),
        (("image-0.png", "image-0.png"), 1, "holds no weights"),
        ((".", "image-0.png"), 1, "holds no config.json"),
        ((".", "image-0.png", "--activation", "gelu"), 2, "leave them out"),
    ],
)
@pytest.mark.usefixtures("weights", "images")
def test_wrong_usage_and_bad_files_have_one_message(
    hpo: Hpo, arguments: tuple[str, ...], code: int, words: str
) -> None:
    answer = hpo("predict", *arguments)
    assert answer.code == code, answer
    assert words in answer.err
    assert "Traceback" not in answer.err
    if code == 1:
        error = hpo("predict", *arguments, "--json").json["error"]
        assert error["kind"] == "weights"
        assert words in error["message"]
