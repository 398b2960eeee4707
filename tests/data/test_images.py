"""Image files as gray pixels: decoding, refusals, resizing and the contact sheet."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo.data.images import contact_sheet, decode, decode_all, resize
from hpo.data.source import open_data, to_8_bits
from hpo.errors import DataError

GRAY = np.arange(256, dtype=np.uint8).reshape(16, 16)
OPAQUE = np.full_like(GRAY, 255)

MODES: dict[str, Callable[[], Image.Image]] = {
    "RGB": lambda: Image.fromarray(np.dstack([GRAY] * 3)),
    "P": lambda: Image.fromarray(GRAY).convert("P"),
    "RGBA": lambda: Image.fromarray(np.dstack([GRAY, GRAY, GRAY, OPAQUE])),
    "LA": lambda: Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(OPAQUE)]),
    "I;16": lambda: Image.fromarray(GRAY.astype(np.uint16) * 257),
}


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as error:
        list(decode_all([path]))
    assert path.name in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_the_same_8_bit_gray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    MODES[mode]().save(tmp_path / "image.png")
    whole = to_8_bits(decode(tmp_path / "image.png"), 16)
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, GRAY)
    monkeypatch.setattr("hpo.data.images._ROWS", 5)
    np.testing.assert_array_equal(to_8_bits(decode(tmp_path / "image.png"), 16), GRAY)


@pytest.mark.parametrize(
    ("image", "gray"),
    [
        (Image.fromarray(GRAY[:1, :2] > 0), [[0, 255]]),
        (Image.new("RGBA", (2, 1), (200, 200, 200, 0)), [[0, 0]]),  # Transparent: on black.
        (Image.new("RGB", (1, 1), (255, 0, 0)), [[76]]),  # The luma of ITU-R 601.
    ],
)
def test_bits_transparency_and_color_become_gray(
    tmp_path: Path, image: Image.Image, gray: list[list[int]]
) -> None:
    image.save(tmp_path / "image.png")
    assert decode(tmp_path / "image.png").tolist() == gray
    Image.new("P", (2, 1), 7).save(tmp_path / "palette.png", transparency=7)
    assert decode(tmp_path / "palette.png").tolist() == [[0, 0]]


@pytest.mark.parametrize("suffix", ["jpeg", "tif"])
def test_the_exif_orientation_is_applied(tmp_path: Path, suffix: str) -> None:
    upright = np.repeat(np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, 16, 0), 16, 1)
    # Stored so that the orientation tag turns the image upright.
    for orientation, way in {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.items():
        exif, stored = Image.Exif(), Image.fromarray(upright)
        exif[0x0112] = orientation
        if way is not None:
            stored = stored.transpose(Image.Transpose(way))
        stored.save(tmp_path / f"image.{suffix}", exif=exif)
        found = decode(tmp_path / f"image.{suffix}").astype(int)
        assert found.shape == upright.shape
        assert np.abs(found - upright).max() < 3


def _write_png(file: Path, header: bytes, content: bytes) -> None:
    """Write a PNG with any header."""
    with file.open("wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n")
        for kind, part in ((b"IHDR", header), (b"IDAT", zlib.compress(content)), (b"IEND", b"")):
            out.write(len(part).to_bytes(4, "big") + kind + part)
            out.write(zlib.crc32(kind + part).to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("side", "reason"),
    [
        (8_001, "it has 8001 x 8001 pixels; the limit is 64,000,000"),
        (100_000, "it has more than 64,000,000 pixels"),
    ],
)
def test_a_decompression_bomb_is_refused_by_its_header(
    tmp_path: Path, side: int, reason: str
) -> None:
    file = tmp_path / "bomb.png"
    _write_png(file, side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0]), bytes(8))
    assert reason in refusal(file)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((2, 2), 0.5, np.float32), "floating-point values"),
        (np.full((2, 2), 1 << 20, np.int32), "outside 0..65535"),
        (np.zeros((1, 20_001), np.uint8), "20001 x 1 pixels; the limit is 20,000"),
    ],
)
def test_pixels_that_would_overflow_or_exhaust_memory_are_refused(
    tmp_path: Path, pixels: np.ndarray, words: str
) -> None:
    Image.fromarray(pixels).save(tmp_path / "x.png", "TIFF")
    assert words in refusal(tmp_path / "x.png")
    row = b"\0" + np.full((4, 3), 4_000, ">u2").tobytes()
    _write_png(tmp_path / "x.png", bytes([0, 0, 0, 4] * 2 + [16, 2, 0, 0, 0]), row * 4)
    assert "16-bit colors use fewer bits: save it in gray" in refusal(tmp_path / "x.png")


def test_other_files_are_refused_without_running_or_blocking(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert "cannot be read as an image: its format is not JPEG" in refusal(file)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)).save(
        file, "JPEG"
    )
    for share in (0.99, 0.5):
        os.truncate(file, int(share * file.stat().st_size))
        assert "cannot be read as an image" in refusal(file)
    os.truncate(file, 10**12)
    assert "1,000,000 MB; the limit is 40 MB" in refusal(file)
    file.unlink()
    assert refusal(file) == f"There is no file {file}. Or use --skip-broken."
    os.mkfifo(file)
    assert "not a regular file" in refusal(file)


def test_many_files_keep_their_order_and_all_broken_ones_are_counted(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.png" for i in range(20)]
    for value, file in enumerate(files):
        Image.new("L", (2, 2), value).save(file)
    assert [int(image[0, 0]) for image in decode_all(files)] == list(range(20))
    for file in files[3:18:2]:
        file.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"8 images cannot be used(.|\n)*3\.png(.|\n)*and 3 more"):
        list(decode_all(files))


def test_resizing_averages_pixels_and_stays_within_their_range() -> None:
    assert resize(GRAY, 16) is GRAY
    stripes = np.tile(np.array([0, 200], np.uint8), (64, 32))
    assert np.abs(resize(stripes, 8)[:, 1:-1].astype(int) - 100).max() <= 2
    edge = np.where(np.arange(32) < 16, 50, 180).astype(np.uint8) * np.ones((10, 1), np.uint8)
    for size in (8, 50):
        assert resize(edge, size).shape == (size, size)
        assert (resize(edge, size).min(), resize(edge, size).max()) == (50, 180)


def test_the_contact_sheet_has_a_row_per_split_and_class(release: Path, tmp_path: Path) -> None:
    contact_sheet(open_data(release), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = np.asarray(image)
    row = len(sheet) // 4
    assert all(sheet[(i + 1) * row - 80].any() for i in range(4))
    with pytest.raises(DataError, match=r"missing/sheet\.png cannot be written"):
        contact_sheet(open_data(release), tmp_path / "missing" / "sheet.png")
    with pytest.raises(DataError, match=r"a PNG file. Name it sheet\.png\."):
        contact_sheet(open_data(release), tmp_path / "sheet.jpg")
