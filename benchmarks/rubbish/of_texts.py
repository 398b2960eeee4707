"""Rubbish for the readers of texts: space files, settings, storage URLs, names of studies."""

from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from benchmarks.rubbish.attempts import message_of
from hpo import space as spaces
from hpo.storage.paths import study_folder
from hpo.storage.url import backend_of, mask, mask_command, sqlite_path, storage_option
from hpo.study.record import check_name

SECRET = "s3cr3tPW"
_SHIPPED = Path(__file__).parents[2] / "search_spaces"

URLS = (
    f"postgresql://u:{SECRET}@host:5432/db",
    f"postgresql+psycopg://u:{SECRET}@[::1]/db?options=a",
    f"postgresql://host/db?user=u&password={SECRET}",
    f"postgresql://host/db?sslmode=no&pass%77ord={SECRET}",
    f"postgresql://u:{SECRET}",
    f"u:{SECRET}@host/db",
)
PLACES = ("sqlite:///studies/hpo.db", "sqlite:////tmp/x.db", "sqlite:///x.db?mode=ro", "x.db")


def space_seeds() -> list[bytes]:
    return [path.read_bytes() for path in sorted(_SHIPPED.glob("*.toml"))] + [
        b"[sweep]\nbatch_size = [8, 16]\n[search]\nlearning_rate = { low = 1e-5, high = 1 }\n",
        b"[base]\nhidden = [8, 8]\ndropout = [0.1, 0.2]\n[sweep.hidden]\nvalues = [[4], [8]]",
    ]


def use_space(space: spaces.Space) -> None:
    spaces.to_document(space)
    for name in space.sweeps:
        spaces.cells(space, [name])


def read_space(folder: Path, content: bytes) -> None:
    (folder / "x.toml").write_bytes(content)
    use_space(spaces.load_space(str(folder / "x.toml")))


@cache
def shipped_space() -> spaces.Space:
    return spaces.load_space("chest_xray")


def read_settings(_: Path, texts: tuple[str, str]) -> None:
    text, name = texts
    space = shipped_space()
    message_of(spaces.with_values, space, {name: text})
    spaces.override(space, {name: text})


def read_url(_: Path, url: str) -> None:
    for show in (mask, storage_option, mask_command):
        show(url)
    assert mask(mask(url)) == mask(url)
    message_of(backend_of, url)
    message_of(sqlite_path, url)


@st.composite
def secret_urls(draw: st.DrawFn) -> str:
    """Draw a URL around a password, with characters inserted anywhere but in the password."""
    head, tail = draw(st.sampled_from(URLS)).split(SECRET)
    extra = st.text("abc.%_-~+!$*,;", max_size=6)
    return head + draw(extra) + SECRET + draw(extra) + tail


def read_secret(_: Path, url: str) -> None:
    command = f"hpo grid --param x --storage '{url}'"
    for shown in (mask(url), storage_option(url), mask_command(command)):
        assert SECRET not in shown, shown
    assert SECRET not in message_of(backend_of, url)


def read_name(folder: Path, name: str) -> None:
    study = study_folder(f"sqlite:///{folder}/hpo.db", check_name(name))
    assert study.resolve().parent == folder.resolve()
    assert study.name not in {"", ".", ".."}
    assert not set(name) & set("<>&\"'/\\\0\n ")
