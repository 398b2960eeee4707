"""Studies in PostgreSQL: the commands, its password, and a server that goes away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_bad_input import said
from tests.conftest import SMALL, Hpo
from tests.postgres import PASSWORD, Server, running

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
        hpo("reproduce", "mine", "0", *at),
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
    assert hpo("delete", "mine", "--yes", *at).code == 0
    said(hpo("show", "mine", *at), 1, "There is no study 'mine'")


def test_the_study_records_its_command_without_the_password(
    hpo: Hpo, xrays: Path, url: str
) -> None:
    from hpo.storage import open_storage

    assert hpo(*GRID, *MINE, "--data", xrays, "--storage", url, "--test").code == 0
    storage = open_storage(url).optuna
    study = storage.get_study_id_from_name("mine")
    recorded = repr((storage.get_study_user_attrs(study), storage.get_all_trials(study)))
    assert "hpo:***@" in recorded
    assert PASSWORD not in recorded


def test_a_search_in_postgresql_is_the_search_in_sqlite(hpo: Hpo, xrays: Path, url: str) -> None:
    search = ("search", "--trials", "4", "--finalists", "1", "--final-repeats", "2", "--json")
    search += (*SMALL, "--data", str(xrays), "--set", "batch_size=8", *MINE)
    ours = [hpo(*search, "--storage", place).json for place in ("sqlite:///a/hpo.db", url)]
    assert ours[0]["configurations"] == ours[1]["configurations"] or _but_for_time(ours)
    assert ours[0]["best"] == ours[1]["best"]


def _but_for_time(documents: list[dict[str, list[dict[str, object]]]]) -> bool:
    shown = [[(c["params"], c["score"]) for c in d["configurations"]] for d in documents]
    return shown[0] == shown[1]


def test_a_wrong_password_is_one_message_that_does_not_show_it(hpo: Hpo, xrays: Path) -> None:
    pass
