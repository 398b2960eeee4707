import zipfile
from pathlib import Path

import pytest

import hpo.space.files
from hpo.errors import SpaceError
from hpo.space import load_space, space_names

SHIPPED = ["chest_xray", "report_a", "report_b", "report_c", "report_d", "report_e"]


def message(name_or_path: str | Path) -> str:
    with pytest.raises(SpaceError) as caught:
        load_space(str(name_or_path))
    return str(caught.value)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_the_shipped_spaces_are_listed_and_loaded_by_name() -> None:
    assert space_names() == SHIPPED
    assert load_space("report_b").name == "report_b"


def test_a_space_file_is_loaded_by_path_and_named_after_it(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.toml", b"[base]\nepochs = 7\n")
    space = load_space(str(path))
    assert (space.name, space.base.epochs) == ("mine", 7)


def test_an_empty_file_is_the_default_configuration(tmp_path: Path) -> None:
    space = load_space(str(written(tmp_path / "mine.toml", b"")))
    assert (space.sweeps, space.search, space.base.hidden) == ({}, (), (64, 64, 64))


def test_the_marks_and_line_ends_of_another_system_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.toml", b"\xef\xbb\xbf[base]\r\nepochs = 7\r\n")
    assert load_space(str(path)).base.epochs == 7


def test_an_installed_package_has_the_spaces_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "hpo"
    (package / "search_spaces").mkdir(parents=True)
    written(package / "search_spaces" / "only.toml", b"[base]\nepochs = 3\n")
    monkeypatch.setattr(hpo.space.files, "_PACKAGE", package)
    assert space_names() == ["only"]
    assert load_space("only").base.epochs == 3


def test_an_unknown_name_shows_the_nearest_or_all() -> None:
    assert "did you mean chest_xray?" in message("chest-xray")
    assert "there are: " + ", ".join(SHIPPED) in message("elsewhere/nothing.toml")


@pytest.mark.parametrize("name", ["", "\0", "x" * 5000])
def test_a_name_that_no_file_can_have_is_explained(name: str) -> None:
    text = message(name)
    assert "cannot be" in text or "no space file" in text or "a folder" in text
    assert len(text) < 500


def test_a_folder_is_no_space_file(tmp_path: Path) -> None:
    assert f"{str(tmp_path)!r} is a folder: name a space file" in message(tmp_path)


def test_a_device_is_not_read() -> None:
    assert "no regular file" in message("/dev/zero")


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "weights.toml", b"\x80\x02}\xff")
    assert "is not text in UTF-8" in message(path)


def test_a_zip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    assert "space.toml is not" in message(path)


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = written(tmp_path / "large.toml", b"# line\n" * 20_000)
    assert "is larger than 100 kB" in message(path)


def test_a_line_that_tomllib_would_chew_on_for_minutes_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "dots.toml", b"[base]\n" + b"a." * 40_000 + b"b = 1\n")
    assert "dots.toml, line 2 is longer than 2000 characters" in message(path)


@pytest.mark.parametrize("text", ["x = " + "[" * 1900, "x = " + "[" * 900 + "]" * 900])
def test_deep_nesting_is_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "deep.toml", text.encode())
    assert "deep.toml" in message(path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[base]\nepochs = = 3\n", "(at line 2, column 10)"),
        ("[base]\nepochs = 3\nepochs = 4\n", "(at line 3, column 11)"),
        ("[base\n", "(at line 1, column 6)"),
    ],
)
def test_a_fault_of_syntax_names_file_and_line(tmp_path: Path, text: str, place: str) -> None:
    path = written(tmp_path / "mine.toml", text.encode())
    found = message(path)
    assert found.startswith(f"{path} is not valid TOML: ")
    assert place in found


def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "mine.toml", b"")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert message(path) == f"{path} cannot be read: Permission denied"


def test_a_file_of_rubbish_gives_a_message_that_can_be_read(tmp_path: Path) -> None:
    text = "[base]\n" + "\n".join(f"k{number} = {number}" for number in range(3000))
    found = message(written(tmp_path / "rubbish.toml", text.encode()))
    assert found.endswith("and 2900 more")
    assert len(found.splitlines()) == 102
