"""Studies, runs and numbers of version 0.1 do not change.

`fixtures/version_0_1` was written by commit 71c13dd on the images of `make_xrays`: `studies.sql`
by `sqlite3 hpo.db .dump`, `expected.json` from `hpo show --json` and `hpo evaluate --json`.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from hpo.run.plan import Settings, plan_grid
from tests.conftest import Hpo

_FIXTURES: Final = Path(__file__).parent / "fixtures/version_0_1"
_EXPECTED: Final[dict[str, Any]] = json.loads((_FIXTURES / "expected.json").read_text())


@pytest.fixture
def here(tmp_path: Path, xrays: Path) -> tuple[object, ...]:
    """Copy the studies and runs into a folder; return the options that name them."""
    folder = tmp_path / "studies"
    shutil.copytree(_FIXTURES / "runs", folder / "runs")
    with closing(sqlite3.connect(folder / "hpo.db")) as database:
        database.executescript((_FIXTURES / "studies.sql").read_text())
    return ("--storage", f"sqlite:///{folder}/hpo.db", "--data", xrays)


@pytest.mark.parametrize("study", _EXPECTED)
def test_an_older_study_is_shown_with_its_numbers(
    hpo: Hpo, here: tuple[object, ...], study: str
) -> None:
    shown, expected = hpo("show", study, *here[:2], "--json").json, _EXPECTED[study]
    assert shown["best"]["params"] == expected["best"]
    assert (shown.get("finalists") or {}).get("winner") == expected["winner"]
    for found, was in zip(shown["configurations"], expected["configurations"], strict=True):
        assert found["params"] == was["params"]
        assert found["score"] == was["score"]
        assert (found["fresh"] or {}).get("score") == was["fresh"]
        for repeat, repeat_was in zip(found["repeats"], was["repeats"], strict=True):
            assert {name: repeat[name] for name in repeat_was} == repeat_was


@pytest.mark.parametrize("study", ["sweep", "search"])
def test_an_older_study_has_the_same_test_result_and_trains_nothing_again(
    hpo: Hpo, here: tuple[object, ...], study: str
) -> None:
    resumed = hpo("resume", study, *here, "--json")
    assert (resumed.code, resumed.json["n_trained"]) == (0, 0)
    found = hpo("evaluate", study, *here, "--json").json["configurations"]
    for one, was in zip(found, _EXPECTED[study]["test"], strict=True):
        assert one["params"] == was["params"]
        values = {name: metric["value"] for name, metric in one["metrics"].items()}
        assert {name: values[name] for name in was["metrics"]} == pytest.approx(
            was["metrics"], rel=1e-9
        )


def test_an_older_study_can_get_more_repeats(hpo: Hpo, here: tuple[object, ...]) -> None:
    sweep = ("grid", "--param", "batch_size", "--values", "16,32", "--epochs", 15, "--repeats", 2)
    small = ("--set", "image_size=16", "--set", "hidden=8", "--set", "weights=last")
    more = hpo(*sweep, *small, "--study", "begun", *here, "--json")
    assert more.code == 0
    # Other versions round differently: the runs of `sweep` are not reused.
    assert (more.json["n_trained"], more.json["n_reused"]) == (2, 0)


def test_an_older_study_can_be_reproduced_reported_and_exported(
    hpo: Hpo, here: tuple[object, ...], tmp_path: Path
) -> None:
    found = hpo("reproduce", "sweep", 1, *here, "--json")
    # Another kind of processor rounds differently.
    assert found.json["result"] in ("equal", "equal_within_rounding")
    assert hpo("report", "search", *here[:2]).code == 0
    assert (tmp_path / "studies/search/report.html").is_file()
    assert hpo("export", "sweep", *here, "--out", tmp_path / "out").code == 0
    assert list((tmp_path / "out").glob("**/*.safetensors"))


def test_the_same_command_finds_an_older_study() -> None:
    """New fields must not change the names of studies, here as of commit 730f4cf."""
    names = [plan_grid([name], Settings()).name for name in ("batch_size", "dropout")]
    assert names == ["grid-batch_size-96a2df1a", "grid-dropout-1e3548d7"]
