"""The documentation as a site: it builds, no link is broken, every command is in it."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_page_of_hyperparameters_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/hyperparameters.py"], capture_output=True, check=True
    )
    assert (ROOT / "docs/hyperparameters.md").read_bytes() == done.stdout


def test_the_site_builds_and_has_no_broken_link(tmp_path: Path) -> None:
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("zensical is not installed")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    pages = tmp_path / "build" / "pages"
    subprocess.run([sys.executable, ROOT / "docs/site.py", pages], check=True, cwd=tmp_path)
    build = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    nav = (tmp_path / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in pages.glob("*.md") if page.name not in nav] == []
    commands = (tmp_path / "site" / "commands" / "index.html").read_text(encoding="utf-8")
    for name in ("hpo-grid", "hpo-search", "hpo-data-audit"):
        assert f'id="{name}"' in commands
