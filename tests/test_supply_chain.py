"""Versions, files and licenses of what is installed, and of what builds the package, are known."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TORCH = "torch"  # Its CPU and CUDA builds are other files under one version.


def pins(file: str) -> dict[str, str]:
    """Return the versions that a file of requirements pins, by the names of the packages."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / file).read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


def test_every_pinned_version_but_torch_has_the_hashes_of_its_files() -> None:
    pinned, hashed = pins("constraints.txt"), pins("hashes.txt")
    assert hashed == {name: pinned[name] for name in pinned if name != TORCH}
    entries = re.split(r"^(?=[\w.-]+==)", (ROOT / "hashes.txt").read_text(), flags=re.MULTILINE)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries[1:])


def test_what_builds_the_package_is_pinned_as_everything_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = pins("constraints.txt")
    for requirement in project["build-system"]["requires"]:
        name, _, version = requirement.partition("==")
        assert pinned[name] == version
    names = [re.split(r"[>=\[]", each)[0] for each in project["project"]["dependencies"]]
    assert set(names) <= set(pinned)


def test_the_license_of_every_pinned_package_is_told() -> None:
    table = (ROOT / "docs" / "licenses.md").read_text()
    rows = re.findall(r"^\| ([\w.-]+) \| (\S+) \| (\S.*?) \|$", table, re.MULTILINE)
    assert {name: version for name, version, _ in rows} == pins("constraints.txt") | {
        "package": "version"
    }
