"""Names from outside, through the whole program, in a real browser."""

import shutil
from pathlib import Path

import pytest

from tests.browser import BROWSER, POLICY, visit
from tests.conftest import SMALL, Hpo

ATTACK = "document.body.dataset.hacked=1"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on the PATH"),
]


def test_names_of_data_and_space_run_nothing_even_without_the_policy(
    hpo: Hpo, xrays: Path, tmp_path: Path
) -> None:
    data = xrays.rename(tmp_path / f"<img src=x onerror={ATTACK}>")
    space = tmp_path / f"\"'><svg onload={ATTACK}>.toml"
    shutil.copy(Path(__file__).parents[1] / "search_spaces" / "chest_xray.toml", space)
    given = ("--data", data, "--space", space, "--values", "8,16", "--repeats", "1")
    answer = hpo("grid", "--param", "batch_size", *given, *SMALL, "--study", "mine", "--json")
    assert answer.code == 0, answer
    html = (tmp_path / "studies" / "mine" / "report.html").read_text(encoding="utf-8")
    assert "onerror=" in html
    seen = visit(POLICY.sub("", html), tmp_path)
    assert not seen.was_hacked
    assert seen.console == []
