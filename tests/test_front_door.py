"""The library as a user imports it, and the files that a command runs and leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

import hpo as library
from hpo.errors import UsageError
from tests.conftest import SMALL
from tests.processes import children, wait_for

SCRIPT = ("-P", "-c", "from hpo.cli import main; main()")
GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "1", "--lanes", "2")


def test_search_is_the_function_and_not_a_module() -> None:
    script = "import sys\n"
    for lines in (
        "from hpo import Settings, grid, open_study, search",
        "import hpo.run.sources\nfrom hpo import search",
        "import hpo\nhpo.grid\nimport hpo.study.trials\nsearch = hpo.search",
    ):
        script += f"{lines}\nassert search.__module__ == 'hpo.api', search\n"
        script += "import hpo.run.proposals\n"
        script += "for name in [*sys.modules]:\n    if name[:3] == 'hpo': del sys.modules[name]\n"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert dir(library) == sorted(library.__all__)


def test_wrong_settings_in_python_are_listed_together() -> None:
    with pytest.raises(UsageError) as refused:
        library.search(data=5, set="hidden=8", trials="three", epoch=3)
    message = str(refused.value)
    assert "data must be a path, but is 5.\n" in message
    assert "set must be a table" in message
    assert "trials must be a whole number" in message
    assert "Unknown option 'epoch'. Did you mean epochs?" in message


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ({"dropout": [0]}, {}, "names must be a name or a list of names"),
        (["dropout", 3], {}, "names must be a name or a list of names"),
        ("dropout=0,0.5", {"values": {"dropout": [0.1]}}, "dropout are given twice"),
        ("dropout", {"values": {"dropout": None}}, "dropout, value 1: dropout must be a number"),
        ("dropout", {"set": {"dropout": None}}, "dropout must be a number"),
        ("dropout", {"values": {"hidden": [8, 16]}}, "hidden is not varied"),
        ("dropout", {"trials": 3}, "Unknown option 'trials'. It is for hpo.search."),
        ("dropout", {"base": 3}, r"Unknown option 'base'. help\(hpo.Settings\) lists"),
        ("dropout", {"set": {"hidden": "[]"}}, "hidden must be a list with at least 1 value"),
        ("dropout", {"settings": {"epochs": 2}}, "settings must be a Settings"),
    ],
)
def test_wrong_arguments_in_python_are_refused(
    names: object, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        library.grid(names, **options)


def test_a_study_from_python_evaluates_predicts_and_exports(
    tmp_path: Path, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = {"set": {"image_size": 16, "hidden": [8]}, "epochs": 2, "repeats": 2, "lanes": 1}
    values = {"batch_size": "8,16"}
    trained = library.grid("batch_size", data=str(xrays), values=values, study="mine", **small)
    texts = small | {"set": {"image_size": "16", "hidden": "8"}}
    again = library.grid("batch_size=8,16", data=str(xrays), study="mine", **texts)
    texts |= {"values": {"batch_size": [8, 16]}, "repeats": "2", "positive": "pneumonia"}
    as_lists = library.grid("batch_size", data=str(xrays), **texts)
    assert (trained.n_trained, again.n_trained, again.n_reused) == (4, 0, 0)
    assert (as_lists.n_trained, as_lists.n_reused) == (0, 4)
    assert len(repr(trained)) < 200
    assert trained.verdict is not None
    assert set(trained.best.params) == {"batch_size"}
    Image.fromarray(np.load(xrays / "test_pneumonia.npy")[0]).save("x.png")
    study = library.open_study(1)
    (answer,) = study.predict("x.png", threshold=0.3)
    assert sum(answer.probabilities) == pytest.approx(1)
    result = study.evaluate("youden").of(study.best)
    assert result is not None
    home = study.export("out") / "best"
    threshold = json.loads((home / "config.json").read_text())["config"]["threshold"]
    assert threshold == pytest.approx(result.ensemble.threshold)
    # Without options, data and storage are those of the environment, as for the commands.
    monkeypatch.setenv("HPO_DATA", str(xrays))
    monkeypatch.setenv("HPO_STORAGE", "sqlite:///other.db")
    other = library.grid("batch_size=8", study="other", **small | {"epochs": 1, "repeats": 1})
    assert (other.record.data.path, other.url) == (str(xrays), "sqlite:///other.db")
    assert library.open_study("other").n_done == 1
    monkeypatch.delenv("HPO_STORAGE")
    monkeypatch.setenv("HPO_DATA", "")
    assert library.Settings().data is None
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        study.to_dataframe()
    table = Mock(DataFrame=list)
    monkeypatch.setitem(sys.modules, "pandas", table)
    assert [row["batch_size"] for row in study.to_dataframe()] == [8, 16]


def write_decoys(folder: Path, *names: str) -> Path:
    """Write modules that must not be imported; return the file that they would write."""
    for name in names:
        program = f"open('ran', 'a').write('{name} ')\nraise SystemExit"
        (folder / f"{name}.py").write_text(program)
    return folder / "ran"


def test_python_files_in_the_working_folder_are_not_run(tmp_path: Path, xrays: Path) -> None:
    names = ("numpy", "queue", "random", "statistics", "tempfile", "typer")
    ran = write_decoys(tmp_path, *names)
    command = [sys.executable, "-m", "hpo", *GRID, *SMALL, "--data", str(xrays)]
    # Both put the working folder first: `-m`, and the empty places of this path.
    path = os.environ | {"PYTHONPATH": ":"}
    done = subprocess.run(command, cwd=tmp_path, env=path, capture_output=True, check=False)
    assert not ran.exists(), ran.read_text()
    assert done.returncode == 0, done.stderr.decode()


def test_hpo_leaves_no_pixels_behind_when_killed(tmp_path: Path, xrays: Path) -> None:
    names = ("hpo", "numpy", "torch", "secrets", "sitecustomize", "usercustomize")
    ran = write_decoys(tmp_path, *names)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    child = subprocess.Popen(
        [sys.executable, *SCRIPT, *GRID, *SMALL, "--epochs", "10000", "--data", str(xrays)],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def maps_pixels(process: int) -> bool:
        """Return whether a process maps the shared file, which is already deleted."""
        return "scratch" in Path(f"/proc/{process}/maps").read_text()

    wait_for(lambda: any(map(maps_pixels, children(child.pid))))
    processes = [*children(child.pid), child.pid]
    assert len(processes) == 3
    assert not ran.exists(), ran.read_text()
    for process in processes:
        os.kill(process, signal.SIGKILL)
    child.wait()
    assert list(scratch.iterdir()) == []
