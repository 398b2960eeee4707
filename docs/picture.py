"""Draw the picture of the README: `python docs/picture.py studies/STUDY/report.html`.

Needs Chromium and Pillow. Writes docs/page.png: the page as far as its third section.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from tests.browser import BROWSER, FLAGS

_SIZE = "1280,1660"
_COLORS = 64


def main() -> None:
    """Draw the page given on the command line."""
    take_picture(Path(sys.argv[1]).resolve(), Path(__file__).parent / "page.png", size=_SIZE)


def take_picture(page: Path, picture: Path, *, size: str) -> None:
    """Write a picture of the upper left part of a page; `size` is "WIDTH,HEIGHT" in pixels."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = (f"--user-data-dir={profile}", f"--window-size={size}", "--hide-scrollbars")
        wait = ("--virtual-time-budget=8000", f"--screenshot={picture}")
        subprocess.run([str(BROWSER), *FLAGS, *options, *wait, page.as_uri()], check=True)
    with Image.open(picture) as image:
        image.convert("RGB").quantize(_COLORS).save(picture, optimize=True)


if __name__ == "__main__":
    main()
