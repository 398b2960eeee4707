"""Rubbish for the readers of data sets: .npy files, archives, images."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.rubbish.attempts import trap
from hpo.data.dataset import MAX_PIXELS
from hpo.data.images import decode_all, resize
from hpo.data.source import bits_in_use, open_data, to_8_bits


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 9, 9), np.uint8)


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    return saved(lambda file: np.save(file, array, allow_pickle=True))


def _headed(text: str, n_values: int = 486) -> bytes:
    header = text.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(n_values)


def npy_seeds() -> list[bytes]:
    shapes = ["(-6, 9, 9)", "(True, 9, 9)", f"({'9' * 300}, 2, 2)", "(6, 100000, 100000)", "9, 9"]
    field = "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }"
    return [
        npy_bytes(noise(6)),
        npy_bytes(np.asfortranarray(noise(6))),
        npy_bytes(np.array([trap()], object)),
        npy_bytes(noise(6).astype(float)),
        b"PK\x03\x04" + bytes(50),
        _headed("__import__('os').mkdir('exploded')"),
        *(_headed(field % shape) for shape in shapes),
    ]


def read_npy(folder: Path, content: bytes) -> None:
    for name, n in (("pneumonia", 6), ("test_normal", 2), ("test_pneumonia", 2)):
        if not (folder / f"{name}.npy").exists():
            np.save(folder / f"{name}.npy", noise(n))
    (folder / "normal.npy").write_bytes(content)
    open_data(folder)


def archive(**changed: np.ndarray) -> bytes:
    arrays: dict[str, Any] = {}
    for name, n in (("train", 6), ("val", 4), ("test", 2)):
        arrays[f"{name}_images"] = noise(n)
        arrays[f"{name}_labels"] = np.arange(n, dtype=np.uint8)[:, None] % 2
    return saved(lambda file: np.savez(file, **arrays | changed))


def npz_seeds() -> list[bytes]:
    return [
        archive(),
        saved(lambda file: np.savez_compressed(file, train_images=noise(6), train_labels=[1])),
        archive(train_labels=np.array([trap()] * 6, object)),
        archive(train_images=np.asfortranarray(noise(6))),
    ]


def read_npz(folder: Path, content: bytes) -> None:
    (folder / "x.npz").write_bytes(content)
    open_data(folder / "x.npz")


def image_seeds() -> list[bytes]:
    gray = Image.fromarray(np.tile(noise(1)[0], (2, 3)))
    color, clear = gray.convert("RGB"), gray.convert("RGBA")
    kinds = [
        (gray, "PNG"),
        (clear, "PNG"),
        (gray.convert("P"), "PNG"),
        (Image.fromarray(np.full((9, 9), 40_000, np.uint16)), "PNG"),
        (gray, "JPEG"),
        (color, "JPEG"),
        (color.convert("CMYK"), "JPEG"),
        (gray, "GIF"),
        (color, "BMP"),
        (gray, "TIFF"),
        (Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"),
        (color, "WEBP"),
        (gray, "PPM"),
    ]
    return [saved(lambda file, i=image, k=kind: i.save(file, k)) for image, kind in kinds] + [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(exploded) (w) file\n",
        b"<svg onload='alert(1)'/>",
    ]


def read_image(folder: Path, content: bytes) -> None:
    (folder / "x.png").write_bytes(content)
    (image,) = decode_all([folder / "x.png"])
    pixels = to_8_bits(image, bits_in_use(int(image.max())))
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 2
    assert pixels.size <= MAX_PIXELS
    resize(pixels, 16)
