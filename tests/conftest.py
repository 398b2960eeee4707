"""Shared by all tests: small images on disk, studies, and the command line."""

import functools
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from hpo.data import phantom
from tests import once, postgres

assert once

# A console keeps the width that is set when it is created; processes of pytest-xdist set it.
os.environ.pop("COLUMNS", None)

# No deadline for examples: a loaded machine must not fail a test.
settings.register_profile(
    "untimed", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")

SIZE = 16


@pytest.fixture(scope="session", autouse=True)
def _isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep every test away from the user's own cache, studies and settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HPO_DATA", "HPO_SPACE", "HPO_STORAGE", "HPO_RUNS"):
            patch.delenv(name, raising=False)
        # The cache is keyed by content, so tests may share it.
        patch.setenv("HPO_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("COLUMNS", "200")
        # Training processes take two seconds to start: only their own tests ask for them.
        patch.setenv("HPO_LANES", "1")
        yield


def make_images(n: int, *, is_ill: bool, seed: int) -> np.ndarray:
    """Return uint8 `(n, 16, 16)` noise; ill images have a bright corner."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (n, SIZE, SIZE))
    images[:, :6, :6] += 60 * is_ill
    return images.astype(np.uint8)


def assert_snapshot(name: str, lines: Iterable[str]) -> None:
    """Compare lines with their snapshot in fixtures/shown.

    After an intended change, `HPO_KEEP=1` in the environment stores the new lines: read the
    difference before you commit it.
    """
    kept, text = Path(__file__).parent / "fixtures" / "shown" / f"{name}.txt", "\n".join(lines)
    if os.environ.get("HPO_KEEP"):
        kept.write_text(f"{text}\n", encoding="utf-8")
    assert text.splitlines() == kept.read_text(encoding="utf-8").splitlines()


def rounded(text: str) -> str:
    """Round numbers to four digits: the others depend on the processor."""
    return re.sub(r"\d+\.\d{4,}(e-?\d+)?", lambda found: f"{float(found[0]):.4g}", text)


@pytest.fixture
def xrays(tmp_path: Path) -> Path:
    """The course's four files with 40 + 40 training and 8 + 8 test images."""
    return make_xrays(tmp_path)


def copy_study(home: Path, to: Path) -> None:
    """Copy a folder with studies and their data; the studies record the data's new place."""
    shutil.copytree(home, to, dirs_exist_ok=True)
    with closing(sqlite3.connect(to / "studies" / "hpo.db")) as database, database:
        update = "update study_user_attributes set value_json = replace(value_json, ?, ?)"
        database.execute(update, (str(home), str(to)))


def make_xrays(home: Path) -> Path:
    """Write the images of `xrays` into a subfolder, and return it."""
    folder = home / "xrays"
    folder.mkdir(parents=True, exist_ok=True)
    for name, n, is_ill, seed in (
        ("normal", 40, False, 0),
        ("pneumonia", 40, True, 1),
        ("test_normal", 8, False, 2),
        ("test_pneumonia", 8, True, 3),
    ):
        np.save(folder / f"{name}.npy", make_images(n, is_ill=is_ill, seed=seed))
    return folder


@pytest.fixture
def few_phantoms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the phantom a quarter of its images, as they are drawn again for each test."""
    hospitals = [(split, name, n // 4, *rest) for split, name, n, *rest in phantom._HOSPITALS]
    monkeypatch.setattr(phantom, "_HOSPITALS", hospitals)
    monkeypatch.setattr(phantom, "draw", functools.cache(phantom.draw.__wrapped__))


@dataclass(frozen=True)
class Answer:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.out)


Hpo = Callable[..., Answer]

EVERY_STORAGE = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgres))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL server shared by all tests of this process; skips if it is not installed."""
    programs = postgres.programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres.running(programs) as server:
        yield server


@pytest.fixture
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: SQLite, or the kind that the test is parametrized with."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite:///{tmp_path}/hpo.db"
    server: postgres.Server = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
def hpo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Hpo]:
    """Run the command line in this process, in an empty folder."""
    # Imported here, as most tests need no command line.
    from hpo.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["hpo", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in signals}
    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


SMALL = ("--set", f"image_size={SIZE}", "--set", "hidden=8", "--epochs", "2")
