"""Studies in PostgreSQL: the commands, the password, and a server that stops."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from hpo.api import open_study
from hpo.errors import StorageError
from hpo.storage.database import translate_errors
from hpo.storage.opening import open_storage
from hpo.storage.runs import RunKey, RunStore
from hpo.study.summary import StudySummary
from hpo.training.engine import Run
from tests.cli.test_bad_input import assert_error
from tests.conftest import SMALL, Hpo
from tests.postgres import PASSWORD, Server, running
from tests.processes import call

pytestmark = pytest.mark.postgres

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "1", *SMALL)
MINE = ("--study", "mine")


@pytest.fixture
def url(postgres_server: Server) -> str:
    return postgres_server.new_database()


@pytest.fixture
def own_server(postgres_server: Server) -> Iterator[Server]:
    """A server that a test may stop without others noticing."""
    with running(postgres_server.programs) as server:
        yield server


def test_every_command_works_and_none_shows_the_password(
    hpo: Hpo, xrays: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--storage", url)
    answers = [
        hpo(*GRID, *MINE, "--data", xrays, *at),
        hpo("show", *at),
        hpo("show", "mine", "--curves", *at),
        hpo("show", "mine", "--json", *at),
        hpo("resume", "mine", *at),
        hpo("report", "mine", *at),
        hpo("evaluate", "mine", *at),
        hpo("reproduce", "mine", "1", *at),
        hpo("export", "mine", *at),
    ]
    monkeypatch.setenv("HPO_STORAGE", url)
    answers += [hpo("show", "mine"), hpo(*GRID, *MINE, "--data", xrays, "--json")]
    assert [a.code for a in answers] == [0] * len(answers), answers
    assert not any(PASSWORD in a.out + a.err for a in answers)
    assert "hpo:***@" in answers[3].json["storage"]
    written = [path for path in Path("studies").rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not any(PASSWORD.encode() in path.read_bytes() for path in written)
    database = open_storage(url)
    study = database.get_study_id_from_name("mine")
    recorded = repr((database.get_study_user_attrs(study), database.get_all_trials(study)))
    assert "hpo:***@" in recorded
    assert PASSWORD not in recorded
    database.engine.dispose()
    mine = open_study("mine", url)
    assert mine.export("by-python").is_dir()
    assert PASSWORD not in repr(mine) + StudySummary.__repr__(mine) + mine._repr_html_()
    assert hpo("delete", "mine", "--yes", *at).code == 0
    assert_error(hpo("show", "mine", *at), 1, "There is no study 'mine'")


def test_a_search_is_the_same_in_postgresql_and_sqlite(hpo: Hpo, xrays: Path, url: str) -> None:
    search = ("search", "--trials", "3", "--finalists", "1", "--final-repeats", "2", "--json")
    search += (*SMALL, "--data", str(xrays), "--set", "batch_size=8", *MINE)
    ours = [hpo(*search, "--storage", place).json for place in ("sqlite:///a/hpo.db", url)]
    scored = [[(c["params"], c["score"], c["fresh"]) for c in d["configurations"]] for d in ours]
    assert len(scored[0]) == 3
    assert scored[0] == scored[1]
    assert ours[0]["finalists"] == ours[1]["finalists"]


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (PASSWORD, "wrong-password", ["refuses this user or password"]),
        ("/test_", "/nowhere_", ["does not exist", "createdb"]),
        ("?host=/", "?host=/nowhere/", ["cannot be reached", "start the server"]),
    ],
)
def test_an_unusable_server_is_reported_without_the_password(
    hpo: Hpo, url: str, right: str, wrong: str, words: list[str]
) -> None:
    answer = hpo("show", "--storage", url.replace(right, wrong, 1))
    assert_error(answer, 1, *words)
    assert PASSWORD not in answer.err
    assert "wrong-password" not in answer.err


def test_the_wait_for_a_lock_of_another_program_is_limited(url: str) -> None:
    open_storage(url)
    with sqlalchemy.create_engine(
        url, poolclass=NullPool, connect_args={"client_encoding": "utf8"}
    ).connect() as other:
        other.execute(sqlalchemy.text("LOCK TABLE studies"))
        ours = open_storage(url, busy_timeout_s=0.2)
        with (
            pytest.raises(StorageError, match="has been locked by another program"),
            translate_errors(url),
        ):
            ours.get_all_studies()
        other.rollback()
    assert ours.get_all_studies() == []


@dataclass(frozen=True)
class ServerGone:
    """A process whose server stops after the second training."""

    server: Server

    def __call__(self) -> None:
        save, saved = RunStore.save, []

        def stopping(store: RunStore, key: RunKey, run: Run) -> None:
            saved.append(key)
            if len(saved) == 2:
                self.server.stop()
            save(store, key, run)

        RunStore.save = stopping  # type: ignore[method-assign]


def test_a_stopped_server_is_reported_and_the_study_continues_later(
    tmp_path: Path, xrays: Path, own_server: Server
) -> None:
    url = own_server.new_database()
    grid = (*GRID, *MINE, "--data", xrays, "--storage", url)
    answer = call(tmp_path, grid, ServerGone(own_server))
    assert_error(answer, 1, "cannot be reached", "start the server")
    assert "Traceback" not in answer.err
    assert PASSWORD not in answer.err
    assert_error(call(tmp_path, grid), 1, "cannot be reached")
    own_server.start()
    again = call(tmp_path, (*grid, "--json")).json
    assert (again["n_trained"], again["n_reused"]) == (0, 1)
    assert [c["state"] for c in again["configurations"]] == ["complete", "complete"]
