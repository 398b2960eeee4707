"""The licenses of all that constraints.txt pins, as docs/licenses.md has them.

They are read from what is installed: `pip install --require-hashes --no-deps -r hashes.txt`,
torch, then `python docs/licenses.py > docs/licenses.md`.
"""

import re
from importlib.metadata import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]

HEAD = """\
# Licenses

The licenses of all packages that `constraints.txt` pins, as stated by the packages: those that
`hpo` needs to run, and those for tests and build. Pages of studies contain plotly.js (MIT).
Made by `python docs/licenses.py > docs/licenses.md`.

| package | version | license |
|---|---|---|"""


def pins(file: str) -> dict[str, str]:
    """Return the versions that a file of requirements pins, by the names of the packages."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / file).read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


def license_of(package: str) -> str:
    """Return the SPDX expression of an installed package, or what it says in its place."""
    about = metadata(package)
    if expression := about["License-Expression"]:
        return str(expression)
    stated = (about["License"] or "").strip()
    if stated and "\n" not in stated:
        return stated
    classifiers = [c for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    return ", ".join(c.rpartition(" :: ")[2] for c in classifiers)


if __name__ == "__main__":
    print(HEAD)
    for name, version in pins("constraints.txt").items():
        print(f"| {name} | {version} | {license_of(name)} |")
