"""Versions, hashes and licenses of all dependencies, including those of the build."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TORCH = "torch"  # Its CPU and CUDA builds are different files with one version.


def pins(file: str) -> dict[str, str]:
    """Return the versions that a file of requirements pins, by the names of the packages."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / file).read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


def test_every_pinned_package_except_torch_has_hashes() -> None:
    pinned, hashed = pins("constraints.txt"), pins("hashes.txt")
    assert hashed == {name: pinned[name] for name in pinned if name != TORCH}
    entries = re.split(r"^(?=[\w.-]+==)", (ROOT / "hashes.txt").read_text(), flags=re.MULTILINE)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries[1:])


def test_build_requirements_are_pinned_like_all_others() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = pins("constraints.txt")
    for requirement in project["build-system"]["requires"]:
        name, _, version = requirement.partition("==")
        assert pinned[name] == version
    names = [re.split(r"[>=\[]", each)[0] for each in project["project"]["dependencies"]]
    assert set(names) <= set(pinned)


def test_the_license_of_every_pinned_package_is_listed() -> None:
    table = (ROOT / "docs" / "licenses.md").read_text()
    rows = re.findall(r"^\| ([\w.-]+) \| (\S+) \| (\S.*?) \|$", table, re.MULTILINE)
    assert {name: version for name, version, _ in rows} == pins("constraints.txt") | {
        "package": "version"
    }
