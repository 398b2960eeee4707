import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo.data import Dataset, Pixels, load, open_phantom
from hpo.data.images import contact_sheet, decode, decode_all, resize
from hpo.data.source import to_8_bits
from hpo.errors import DataError

GRAY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def _rgb() -> Image.Image:
    return Image.fromarray(np.dstack([GRAY] * 3))


def _palette() -> Image.Image:
    return Image.fromarray(GRAY).convert("P")


def _opaque() -> Image.Image:
    return Image.fromarray(np.dstack([GRAY, GRAY, GRAY, np.full_like(GRAY, 255)]))


def _gray_with_alpha() -> Image.Image:
    return Image.merge("LA", [Image.fromarray(GRAY), Image.new("L", GRAY.T.shape, 255)])


def _16_bit() -> Image.Image:
    return Image.fromarray(GRAY.astype(np.uint16) * 257)


@pytest.mark.parametrize("make", [_rgb, _palette, _opaque, _gray_with_alpha, _16_bit])
def test_every_mode_becomes_the_same_8_bit_gray(
    tmp_path: Path, make: Callable[[], Image.Image]
) -> None:
    make().save(tmp_path / "image.png")

    pixels = to_8_bits(decode(tmp_path / "image.png"), 16)

    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, GRAY)


def test_16_bit_values_keep_their_share_of_the_full_range(tmp_path: Path) -> None:
    wide = np.array([[0, 128, 129, 32768, 65406, 65535]], np.uint16)
    Image.fromarray(wide).save(tmp_path / "wide.png")

    assert to_8_bits(decode(tmp_path / "wide.png"), 16).tolist() == [[0, 0, 1, 128, 254, 255]]


@pytest.mark.parametrize("suffix", ["jpeg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_read_as_a_viewer_shows_it(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    upright = np.repeat(np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, 16, 0), 16, 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(upright)
    # As cameras store what is shown upright: the other way round.
    ways = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(ways[orientation]))
    stored.save(tmp_path / f"image.{suffix}", exif=exif)

    found = decode(tmp_path / f"image.{suffix}").astype(int)

    assert found.shape == upright.shape
    assert np.abs(found - upright).max() < 3


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^There is no file \S*nofile\.jpg\.$"):
        decode(tmp_path / "nofile.jpg")


def test_16_bit_colors_of_fewer_bits_are_refused(tmp_path: Path) -> None:
    wide = np.full((4, 4, 3), 4_000, ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    parts = [(b"IHDR", bytes([0, 0, 0, 4, 0, 0, 0, 4, 16, 2, 0, 0, 0])), (b"IDAT", rows)]
    file = tmp_path / "wide.png"
    with file.open("wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in [*parts, (b"IEND", b"")]:
            body = kind + (zlib.compress(content) if kind == b"IDAT" else content)
            out.write((len(body) - 4).to_bytes(4, "big") + body)
            out.write(zlib.crc32(body).to_bytes(4, "big"))

    with pytest.raises(DataError, match="16-bit colors use fewer bits: save it in gray"):
        decode(file)


def test_all_broken_files_are_counted(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.png" for i in range(20)]
    for file in files:
        Image.new("L", (2, 2)).save(file)
    for file in files[3:18:2]:
        file.write_bytes(b"broken")

    with pytest.raises(DataError) as error:
        list(decode_all(files))

    assert "8 images cannot be used" in str(error.value)
    assert "3.png" in str(error.value)
    assert "and 3 more" in str(error.value)


def test_what_is_transparent_lies_on_black(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 1), (200, 200, 200, 0)).save(tmp_path / "clear.png")
    Image.new("P", (2, 1), 7).save(tmp_path / "palette.png", transparency=7)

    assert decode(tmp_path / "clear.png").tolist() == [[0, 0]]
    assert decode(tmp_path / "palette.png").tolist() == [[0, 0]]


def test_color_becomes_luma(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (255, 0, 0)).save(tmp_path / "red.png")

    assert decode(tmp_path / "red.png").item() == 76


def test_a_gray_jpeg_in_color_decodes_to_its_gray(tmp_path: Path) -> None:
    _rgb().save(tmp_path / "color.jpeg", quality=95)
    Image.fromarray(GRAY).save(tmp_path / "gray.jpeg", quality=95)

    np.testing.assert_array_equal(decode(tmp_path / "color.jpeg"), decode(tmp_path / "gray.jpeg"))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_jpeg_is_refused_and_named(tmp_path: Path, share: float) -> None:
    file = tmp_path / "cut.jpeg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)).save(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(DataError, match=r"cut\.jpeg cannot be read as an image"):
        decode(file)


@pytest.mark.parametrize(
    ("side", "reason"),
    [
        (8_001, "it has 8001 x 8001 pixels; at most 64,000,000"),
        (10_000, "it has more than 64,000,000 pixels"),
        (100_000, "it has more than 64,000,000 pixels"),
    ],
)
def test_a_decompression_bomb_is_refused_by_its_header(
    tmp_path: Path, side: int, reason: str
) -> None:
    file = tmp_path / "bomb.png"
    Image.new("1", (8, 8)).save(file)
    content = bytearray(file.read_bytes())
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    file.write_bytes(content)

    with pytest.raises(DataError, match=rf"bomb\.png .*{reason}"):
        list(decode_all([file]))


def test_many_files_come_in_their_order(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.png" for i in range(70)]
    for value, file in enumerate(files):
        Image.new("L", (2, 2), value).save(file)

    assert [int(image[0, 0]) for image in decode_all(files)] == list(range(70))


def test_resizing_down_averages_instead_of_skipping() -> None:
    stripes = np.tile(np.array([0, 200], np.uint8), (64, 32))

    shrunk = resize(stripes, 8)

    assert shrunk.shape == (8, 8)
    assert np.abs(shrunk[:, 1:-1].astype(int) - 100).max() <= 2


def test_resizing_stays_within_the_values_of_the_image() -> None:
    edge = np.where(np.arange(32) < 16, 50, 180).astype(np.uint8) * np.ones((32, 1), np.uint8)

    for size in (8, 50):
        assert resize(edge, size).min() == 50
        assert resize(edge, size).max() == 180


def test_a_program_that_calls_itself_an_image_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")

    with pytest.raises(DataError, match=r"x\.png cannot be read as an image: it is none of JPEG"):
        decode(file)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")

    with pytest.raises(DataError, match=r"pipe\.png .* not a regular file"):
        decode(tmp_path / "pipe.png")


def test_a_file_that_no_image_is_so_large_as_is_not_searched(tmp_path: Path) -> None:
    file = tmp_path / "x.jpeg"
    Image.fromarray(GRAY).save(file)
    os.truncate(file, 10**12)

    with pytest.raises(DataError, match="1,000,000 MB; at most 40 MB"):
        decode(file)


def test_an_image_too_long_to_resize_is_refused(tmp_path: Path) -> None:
    Image.new("L", (20_001, 1)).save(tmp_path / "x.png")

    with pytest.raises(DataError, match="20001 x 1 pixels; sides of at most 20,000"):
        decode(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((2, 2), 0.5, np.float32), "floating-point values"),
        (np.full((2, 2), 1 << 20, np.int32), r"outside 0\.\.65535"),
        (np.full((2, 2), -1, np.int32), r"outside 0\.\.65535"),
    ],
)
def test_pixels_that_would_wrap_or_vanish_are_refused(
    tmp_path: Path, pixels: np.ndarray, words: str
) -> None:
    Image.fromarray(pixels).save(tmp_path / "x.png", "TIFF")

    with pytest.raises(DataError, match=words):
        decode(tmp_path / "x.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_a_large_image_in_strips_is_what_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (41, 30, 4), np.uint8)
    image = Image.fromarray(noise).convert("RGB" if mode in {"RGB", "P"} else "RGBA")
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 200)
    elif mode != image.mode:
        image = image.convert(mode)
    image.save(tmp_path / "x.png")
    whole = decode(tmp_path / "x.png")

    monkeypatch.setattr("hpo.data.images._STRIP_PIXELS", 200)

    np.testing.assert_array_equal(decode(tmp_path / "x.png"), whole)


def test_the_contact_sheet_has_a_row_per_split_and_class(release: Path, tmp_path: Path) -> None:
    def sheet_of(dataset: Dataset) -> Pixels:
        contact_sheet(dataset, tmp_path / "sheet.png")
        with Image.open(tmp_path / "sheet.png") as image:
            return np.asarray(image)

    sheet = sheet_of(load(release))
    assert sheet.shape == sheet_of(open_phantom(size=16)).shape
    row, last_tile = len(sheet) // 4, sheet[:, -150:-10]
    assert all(sheet[(i + 1) * row - 80].any() for i in range(4))
    assert last_tile[row - 80].any()
    assert not last_tile[4 * row - 80].any()  # Test has fewer images than a row.
    with pytest.raises(DataError, match=r"missing/sheet\.png cannot be written"):
        contact_sheet(load(release), tmp_path / "missing" / "sheet.png")
