"""hpo evaluate --weights: weights of others on the test images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.cli.conftest import said
from tests.conftest import SIZE, SMALL, Hpo


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A two-output network of a script that feeds pixels as 0..255, as in report D."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIZE**2, 2))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].weight[1, :SIZE].fill_(0.01)
        network[1].bias.copy_(torch.tensor([0.0, -12.0]))
    path = tmp_path / "weights.pth"
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 30, "state_dict": state}, path)
    return path


@pytest.mark.parametrize(("scale", "factor"), [("raw", 1), ("unit", 1 / 255)])
def test_right_answers_are_those_of_the_argmax(
    hpo: Hpo, xrays: Path, weights: Path, scale: str, factor: float
) -> None:
    n_right = 0
    for label, name in enumerate(("test_normal", "test_pneumonia")):
        pixels = np.load(xrays / f"{name}.npy").reshape(8, -1) * factor
        n_right += int((((pixels[:, :SIZE] * 0.01).sum(1) - 12 > 0) == label).sum())
    arguments = ("evaluate", "--weights", weights, "--data", xrays, "--input-scale", scale)
    found = hpo(*arguments, "--json").json
    assert (found["n_right"], found["n_images"]) == (n_right, 16)
    assert (n_right == 8) == (scale == "unit")
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(n_right / 16)
    assert found["architecture"] == "Flatten -> Linear(256, 2)"
    assert any("under the key state_dict" in note for note in found["notes"])
    shown = hpo(*arguments)
    assert f"{n_right} of 16 correct" in shown.out
    assert "bootstrap over 16 patients" in shown.out
    assert "starts with module., which is ignored" in shown.err
    assert ("Every test image is classified as normal" in shown.out) == (scale == "unit")


def test_exported_weights_and_their_ensemble_score_as_the_study_did(hpo: Hpo, xrays: Path) -> None:
    grid = ("grid", "--param", "loss", "--values", "bce,ce", "--repeats", "2", *SMALL)
    hpo(*grid, "--data", xrays, "--study", "mine")
    hpo("export", "mine", "--out", "out", "--all")
    tested = hpo("evaluate", "mine", "--json").json["configurations"]
    best = hpo("show", "mine", "--json").json["best"]["number"]
    names = ["001_loss-bce", "002_loss-ce"]
    names[best - 1] = "best"
    for configuration, name in zip(tested, names, strict=True):
        arguments = ("evaluate", "--weights", Path("out") / name, "--data", xrays)
        found, ensemble = hpo(*arguments, "--json").json, configuration["ensemble"]
        assert (found["n_right"], len(found["members"])) == (ensemble["n_right"], 2)
        for metric, value in found["metrics"].items():
            of_study = ensemble["metrics"][metric]["value"]
            assert value["value"] == pytest.approx(of_study, abs=1e-6)
            alone = [member["metrics"][metric] for member in found["members"]]
            mean = configuration["metrics"][metric]["value"]
            assert sum(alone) / 2 == pytest.approx(mean, abs=1e-6)
    shown = hpo(*arguments).out
    assert f"{names[1]}, ensemble of 2, tested on xrays" in shown
    assert "each alone" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "takes either"),
        (("mine", "--weights", "weights.pth"), 2, "takes either"),
        (("mine", "--has-sigmoid"), 2, "--has-sigmoid is only for --weights"),
        (("--weights", "nowhere.pth", "--data", "xrays"), 1, "nowhere.pth cannot be read"),
    ],
)
@pytest.mark.usefixtures("xrays", "weights")
def test_wrong_usage_and_bad_files_have_one_message(
    hpo: Hpo, arguments: tuple[str, ...], code: int, words: str
) -> None:
    said(hpo("evaluate", *arguments), code, words)
