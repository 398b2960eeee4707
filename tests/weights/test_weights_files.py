"""Files of weights: what is read, and what is refused without running it."""

import argparse
import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hpo.errors import WeightsError
from hpo.weights import files
from hpo.weights.files import read_tensors
from tests.weights.conftest import Save, reports_network

STATE = reports_network().state_dict()


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read_tensors(path)
    text = str(caught.value)
    assert str(path) in text
    assert len(text) < 900
    return text


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors", "parameters"])
def test_a_state_dict_is_read_as_it_was_saved(save: Save, tmp_path: Path, form: str) -> None:
    state = dict(STATE)
    if form == "parameters":  # They require gradients.
        state = dict(nn.Linear(64, 1).named_parameters(prefix="0"))
    path = tmp_path / "weights.bin"
    if form == "safetensors":
        save_file(state, path)
    else:
        path = save(state, is_zip=form != "legacy")
    tensors, notes = read_tensors(path)
    assert sorted(tensors) == sorted(state)
    assert all(torch.equal(tensors[key], value) for key, value in state.items())
    assert notes == ()


@pytest.mark.parametrize("form", ["zip", "legacy", "checkpoint", "pickle"])
def test_code_in_a_file_is_refused_and_not_run(save: Save, tmp_path: Path, form: str) -> None:
    mark = tmp_path / "was_run"
    bomb = Bomb(mark)
    content = {"state_dict": STATE, "extra": bomb} if form == "checkpoint" else bomb
    path = save(content, is_zip=form != "legacy")
    if form == "pickle":
        path.write_bytes(pickle.dumps(bomb, protocol=2))
    assert "nothing in it was run" in (text := refusal(path))
    assert "posix.mkdir" in text
    assert not mark.exists()
    if form != "pickle":
        torch.load(path, weights_only=False)
        assert mark.exists(), "the bomb of this test does not go off"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (reports_network(), "torch.nn.modules.container.Sequential"),
        ({"state_dict": STATE, "arguments": argparse.Namespace(lr=0.1)}, "argparse.Namespace"),
        ({"epoch": 3, "loss": 0.1}, "It contains epoch, loss"),
        ({"1.weight": torch.zeros(2, 2).to_sparse()}, "torch.sparse_coo"),
        ({"1.weight": torch.zeros(2, dtype=torch.complex64)}, "torch.complex64"),
        ({f"{i}.bias": torch.zeros(1) for i in range(1_001)}, "1,001 tensors; the limit is 1,000"),
    ],
)
def test_a_file_without_a_state_dict_is_refused(save: Save, content: object, words: str) -> None:
    assert words in refusal(save(content))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("these are no weights at all")
    assert "contains no weights that can be read" in refusal(tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "was not written by torch.save" in refusal(tmp_path / "other.zip")
    (tmp_path / "empty").touch()
    assert "is empty" in refusal(tmp_path / "empty")
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in refusal(tmp_path / "pipe")
    assert "No such file" in refusal(tmp_path / "nowhere.pt")


def test_a_file_that_is_too_large_is_refused_before_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    large, packed = tmp_path / "large.pt", tmp_path / "packed.pt"
    with large.open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)
    assert "the limit is 1.2 GB" in refusal(large)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"]" * 3_000_000)
    assert packed.stat().st_size < 100_000
    assert "more than 2 MB besides tensors" in refusal(packed)
    monkeypatch.setattr(files, "MAX_BYTES", 1_000_000)
    assert "the limit is 0.0 GB" in refusal(packed)


def test_safetensors_whose_header_begins_like_a_pickle_are_read(tmp_path: Path) -> None:
    header = {"1.weight": {"dtype": "F32", "shape": [1, 64], "data_offsets": [0, 256]}}
    text = json.dumps(header).ljust(128).encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(256))
    assert path.read_bytes().startswith(b"\x80")
    assert read_tensors(path)[0].keys() == {"1.weight"}
