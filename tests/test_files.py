"""Files are there whole or not at all, and what a killed process left half written goes."""

import os
import time
from pathlib import Path

from hpo.files import remove_leftovers, write_whole


def test_what_was_left_half_written_a_day_ago_is_removed(tmp_path: Path) -> None:
    write_whole(tmp_path / "kept.json", b"{}", way_out="")
    old, young, other = (tmp_path / name for name in (".a.01234567", ".b.89abcdef", ".keep"))
    for path in (old, young, other):
        path.write_bytes(b"half")
    a_day_ago = time.time() - 90_000
    for path in (old, other, tmp_path / "kept.json"):
        os.utime(path, (a_day_ago, a_day_ago))
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".b.89abcdef",
        ".keep",
        "kept.json",
    ]


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "nowhere")
