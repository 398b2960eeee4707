import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpo.data import Dataset, load, open_data
from hpo.errors import DataError


def test_without_a_path_there_is_the_phantom() -> None:
    dataset = open_data(None)

    assert dataset.is_phantom
    assert (dataset.name, dataset.source) == ("phantom", "phantom")


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no .*gone.*\n.*train,val,test") as error:
        load(tmp_path / "gone")

    for way_out in ("--data", "normal.npy", "MedMNIST"):
        assert way_out in str(error.value)


def test_a_folder_of_nothing_says_what_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no data set that can be read"):
        load(tmp_path)


def test_a_data_set_one_folder_down_is_pointed_at(release: Path) -> None:
    with pytest.raises(DataError, match=rf"Did you mean {release}\?"):
        load(release.parent)


def test_a_data_set_two_folders_down_is_pointed_at(release: Path, tmp_path: Path) -> None:
    (tmp_path / "outer/__MACOSX/xrays/train").mkdir(parents=True)
    place = release.rename(tmp_path / "outer/xrays")

    with pytest.raises(DataError, match=rf"Did you mean {place}\?"):
        load(tmp_path)


def test_the_source_is_an_absolute_path(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(release.parent)

    dataset = load(Path(release.name))

    assert dataset.source == str(release)


@pytest.mark.parametrize("labels", [[0] * 8, [1] * 8])
def test_one_class_alone_cannot_be_trained_on(
    make_dataset: Callable[..., Dataset], labels: list[int]
) -> None:
    with pytest.raises(DataError, match="fewer than two classes to train on"):
        make_dataset(labels)


def test_a_class_that_is_in_test_only_cannot_be_trained_on(
    make_dataset: Callable[..., Dataset],
) -> None:
    with pytest.raises(DataError, match="8 normal, 0 pneumonia"):
        make_dataset([0] * 8 + [1] * 2, split=[0] * 8 + [2] * 2)


def test_a_second_load_decodes_nothing_and_imports_no_heavy_library(
    release: Path, cache_folder: Path
) -> None:
    first = load(release)
    pixels = first.pixels_at(8)
    script = (
        "import sys; from pathlib import Path; from hpo.data import load\n"
        f"d = load(Path({str(release)!r})); p = d.pixels_at(8)\n"
        "print(d.fingerprint, int(p.sum()))\n"
        "print(*({'PIL', 'sklearn', 'scipy', 'torch', 'pooch'} & set(sys.modules)))"
    )
    environment = {**os.environ, "HPO_CACHE": str(cache_folder)}

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )

    assert done.stdout.split("\n")[0] == f"{first.fingerprint} {int(np.sum(pixels))}"
    assert done.stdout.split("\n")[1] == ""


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000, "~no-such-user/x", "\udcff"])
def test_a_path_that_cannot_be_is_said(name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be read: .*\. Give the path"):
        load(Path(name))
