"""What a file of weights may be, and what is refused without running it."""

import argparse
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hpo.errors import WeightsError
from hpo.weights import files
from hpo.weights.files import read_state_dict
from tests.weights.conftest import Save, reports_network

STATE = reports_network().state_dict()


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    text = str(caught.value)
    assert str(path) in text
    return text


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_state_dict_is_read_as_it_was_saved(save: Save, is_zip: bool) -> None:
    state = read_state_dict(save(STATE, is_zip=is_zip))
    assert list(state.tensors) == list(STATE)
    assert all(torch.equal(state.tensors[key], value) for key, value in STATE.items())
    assert state.notes == ()


def test_safetensors_are_read_whatever_the_file_is_called(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    save_file(STATE, path)
    found = read_state_dict(path).tensors
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], value) for key, value in STATE.items())


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_checkpoint_gives_the_state_dict_it_holds_and_says_where(save: Save, key: str) -> None:
    optimizer = torch.optim.Adam(reports_network().parameters()).state_dict()
    state = read_state_dict(save({"epoch": 3, "optimizer": optimizer, key: STATE}))
    assert state.tensors.keys() == STATE.keys()
    assert f"under the key {key} " in state.notes[0]


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: {"state_dict": STATE, "extra": b}])
def test_code_in_a_pickle_is_refused_and_not_run(
    save: Save, tmp_path: Path, wrap: object, is_zip: bool
) -> None:
    mark = tmp_path / "was_run"
    path = save(wrap(Bomb(mark)), is_zip=is_zip)  # type: ignore[operator]
    assert "posix.mkdir" in refusal(path)
    assert "nothing in it was run" in refusal(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the bomb of this test does not go off"


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_plain_pickle_with_code_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    mark, path = tmp_path / "was_run", tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(Bomb(mark), protocol))
    refusal(path)
    assert not mark.exists()


def test_a_whole_module_is_refused_with_the_way_out(save: Save) -> None:
    text = refusal(save(reports_network()))
    assert "torch.nn.modules.container.Sequential" in text
    assert "torch.save(model.state_dict(), FILE)" in text


def test_another_python_object_beside_the_weights_is_named(save: Save) -> None:
    path = save({"state_dict": STATE, "arguments": argparse.Namespace(lr=0.1)})
    assert "argparse.Namespace" in refusal(path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("is_zip", [True, False])
def test_a_truncated_file_is_said_to_be_damaged(save: Save, is_zip: bool, share: float) -> None:
    path = save(STATE, is_zip=is_zip)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "Copy or download it again" in refusal(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_truncated_safetensors_are_said_to_be_damaged(tmp_path: Path, share: float) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(STATE, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "cut short" in refusal(path)


def test_other_files_are_said_to_hold_no_weights(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("these are no weights at all")
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("text", "array.npy"):
        assert "holds no weights that can be read" in refusal(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "an archive without weights" in refusal(tmp_path / "other.zip")
    (tmp_path / "empty").touch()
    assert "is empty" in refusal(tmp_path / "empty")
    assert "is a folder" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "nowhere.pt")


def test_a_torchscript_program_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with pytest.warns(DeprecationWarning, match="jit"):
        torch.jit.script(reports_network()).save(path)
    assert "TorchScript" in refusal(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.zeros(3), "holds a Tensor, no state dict"),
        ([1, 2], "holds a list, no state dict"),
        ({}, "It holds nothing"),
        ({"epoch": 3, "loss": 0.1}, "It holds epoch, loss"),
        ({"1.weight": torch.zeros(2, 2).to_sparse()}, "torch.sparse_coo"),
        ({"1.weight": torch.zeros(2, device="meta")}, "on meta"),
        ({"1.weight": torch.zeros(2, dtype=torch.complex64)}, "torch.complex64"),
    ],
)
def test_what_is_no_state_dict_is_said(save: Save, content: object, words: str) -> None:
    assert words in refusal(save(content))


def test_a_small_file_that_claims_huge_tensors_is_refused(save: Save) -> None:
    huge = torch.zeros(1).as_strided((1 << 20, 1 << 20), (0, 0))
    path = save({"1.weight": huge})
    assert path.stat().st_size < 10_000
    assert "at most 1.2 GB" in refusal(path)


def test_too_large_a_file_is_refused_before_it_is_read(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "large.pt"
    with large.open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)
    assert "at most 1.2 GB" in refusal(large)
    packed = tmp_path / "packed.pt"
    with (
        zipfile.ZipFile(save(STATE)) as whole,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for entry in whole.infolist():
            archive.writestr(entry, whole.read(entry), zipfile.ZIP_DEFLATED)
        archive.writestr("archive/data/padding", bytes(1_000_000))
    assert packed.stat().st_size < 100_000
    monkeypatch.setattr(files, "MAX_BYTES", 500_000)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    assert "at most" in refusal(packed)


def test_parameters_that_want_gradients_are_read(save: Save) -> None:
    path = save(dict(nn.Linear(64, 1).named_parameters(prefix="0")))
    assert read_state_dict(path).tensors.keys() == {"0.weight", "0.bias"}


def test_safetensors_whose_header_begins_like_a_pickle_are_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    header = {"1.weight": {"dtype": "F32", "shape": [1, 64], "data_offsets": [0, 256]}}
    text = json.dumps(header).ljust(128).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(256))
    assert path.read_bytes().startswith(b"\x80")
    assert read_state_dict(path).tensors.keys() == {"1.weight"}


def test_a_tensor_of_a_type_that_cannot_be_computed_with_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"1.weight": torch.zeros(1, 64).to(torch.float8_e4m3fn)}, path)
    assert "1.weight is a torch.strided tensor of torch.float8_e4m3fn" in refusal(path)


@pytest.mark.parametrize("key", ["9" * 5000 + ".weight", "\x1b[2J.weight"])
def test_a_key_that_cannot_be_shown_is_not(tmp_path: Path, key: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({key: torch.zeros(1, 64)}, path)
    text = refusal(path)
    assert text.isprintable()
    assert len(text) < 700


def test_more_tensors_than_a_network_has_are_refused(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_TENSORS", 3)
    assert "holds 16 tensors; at most 3" in refusal(save(STATE))


@pytest.mark.parametrize("is_zip", [True, False])
def test_tuples_that_take_2_to_the_60_steps_are_refused_at_once(
    save: Save, tmp_path: Path, is_zip: bool
) -> None:
    levels = b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
    path = tmp_path / "nested.pt"
    path.write_bytes(b"\x80\x02})" + levels + b"K\x01s.")
    if is_zip:
        replace_pickle(save(STATE), path, path.read_bytes())
    assert "its tuples hold one another without bound" in refusal(path)


def test_a_small_archive_with_a_huge_pickle_is_refused_unread(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "packed.pt"
    replace_pickle(save(STATE), path, b"\x80\x02" + b"]" * 3_000_000)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    assert "more than 2 MB beside its tensors" in refusal(path)


def replace_pickle(whole: Path, path: Path, content: bytes) -> None:
    with (
        zipfile.ZipFile(whole) as before,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as after,
    ):
        for name in before.namelist():
            after.writestr(name, content if name.endswith("data.pkl") else before.read(name))


def test_a_path_that_cannot_be_is_said() -> None:
    assert "File name too long" in refusal(Path("a" * 300))
