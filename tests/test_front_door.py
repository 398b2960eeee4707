"""The library as a user imports it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hpo as library
from hpo.run.plan import Settings, plan_grid
from tests.conftest import SIZE, SMALL, Hpo
from tests.processes import children

SCRIPT = ("-P", "-c", "from hpo.cli import main; main()")
GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "1", "--lanes", "2")


@pytest.mark.parametrize(
    "lines",
    [
        "from hpo import Settings, grid, open_study, search",
        "import hpo.search.grid\nfrom hpo import search",
        "import hpo\nhpo.grid\nimport hpo.study.trials\nsearch = hpo.search",
    ],
)
def test_search_is_the_function_and_not_the_package_of_that_name(lines: str) -> None:
    script = f"{lines}\nassert search.__module__ == 'hpo.api', search\nimport hpo.search.proposals"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_names_of_the_library_are_listed() -> None:
    assert dir(library) == sorted(library.__all__)


def test_a_sweep_from_python_writes_its_page_and_is_short_to_print(xrays: Path, hpo: Hpo) -> None:
    small = {"image_size": SIZE, "hidden": "8"}
    settings = Settings(data=xrays, set=small, values={"loss": "bce"}, repeats=1, epochs=1)
    made = library.grid("loss", settings)
    assert made.report
    assert "bce" in Path(made.report).read_text()
    found = library.open_study(made.name)
    assert found.report == made.report
    for shown in (repr(made), repr(found), repr(found.best)):
        assert len(shown) < 200
        assert "loss bce" in shown
    assert hpo("show", made.name, "--json").json["report"] == made.report


def test_settings_take_values_as_well_as_texts(xrays: Path) -> None:
    values = {"hidden": (16, 8), "dropout": 0.25, "batch_norm": False, "batch_size": 8}
    texts = {"hidden": "16-8", "dropout": "0.25", "batch_norm": "false", "batch_size": "8"}
    planned = [plan_grid(["loss"], Settings(data=xrays, set=given)) for given in (values, texts)]
    assert planned[0].name == planned[1].name
    assert planned[0].record.space.base.hidden == (16, 8)


@pytest.mark.parametrize(
    ("start", "environment", "names"),
    [
        (SCRIPT, {}, ("hpo", "numpy", "torch", "secrets", "sitecustomize", "usercustomize")),
        (SCRIPT, {"PYTHONPATH": ":"}, ("numpy", "queue", "random", "statistics", "tempfile")),
        (("-m", "hpo"), {}, ("numpy", "queue", "random", "statistics", "tempfile", "typer")),
    ],
)
def test_python_files_beside_the_data_are_not_run(
    tmp_path: Path,
    xrays: Path,
    start: tuple[str, ...],
    environment: dict[str, str],
    names: tuple[str, ...],
) -> None:
    for name in names:
        (tmp_path / f"{name}.py").write_text(
            f"open('ran', 'a').write('{name} ')\nraise SystemExit"
        )
    command = [sys.executable, *start, *GRID, *SMALL, "--data", str(xrays)]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | environment, capture_output=True, check=False
    )
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert done.returncode == 0, done.stderr.decode()


def test_no_pixels_stay_where_a_command_and_its_processes_are_killed(
    tmp_path: Path, xrays: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    child = subprocess.Popen(
        [sys.executable, *SCRIPT, *GRID, *SMALL, "--epochs", "10000", "--data", str(xrays)],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while time.monotonic() < end and not any(map(maps_pixels, children(child.pid))):
        time.sleep(0.05)
    processes = [*children(child.pid), child.pid]
    assert len(processes) == 3
    for process in processes:
        os.kill(process, signal.SIGKILL)
    child.wait()
    assert list(scratch.iterdir()) == []


def maps_pixels(process: int) -> bool:
    """Whether a process reads the file that all share: it has no name any more."""
    return "scratch" in Path(f"/proc/{process}/maps").read_text()
