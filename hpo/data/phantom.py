"""The phantom: a synthetic chest X-ray with lungs, ribs, heart and diaphragm.

Anatomy, exposure and pose belong to a patient; the images of one patient (siblings) share them up
to a small change of exposure and pose. Pneumonia adds soft opacities inside the lungs; both
classes have fainter shadows, so that one bright spot decides nothing. The test split comes from
another hospital: other exposure and other body sizes.

The same seed gives the same bits on every machine. Random numbers are PCG64's integers, or their
quotients by a power of two, and pixels come from single additions, multiplications and divisions,
which IEEE 754 rounds alike everywhere. There is no sine, no exponential and no sum over an array.
"""

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, TRAIN, Dataset, Pixels
from hpo.data.image_folders import PHANTOM_MARK
from hpo.data.patients import patients_of
from hpo.data.source import Source, open_source
from hpo.errors import DataError

_Plane: TypeAlias = NDArray[np.float64]
_Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class _Hospital:
    """Images per class, and the ranges from which patients and exposures come."""

    split: int
    n_per_class: int
    width: _Range
    brightness: _Range
    contrast: _Range


_HOSPITALS: Final = (
    _Hospital(
        split=TRAIN,
        n_per_class=400,
        width=(0.8, 0.98),
        brightness=(-0.04, 0.04),
        contrast=(0.9, 1.1),
    ),
    _Hospital(
        split=TEST,
        n_per_class=200,
        width=(0.92, 1.15),
        brightness=(0.05, 0.2),
        contrast=(0.65, 0.95),
    ),
)


_FILES: Final = {
    (TRAIN, NORMAL): "train/NORMAL/IM-{patient:04}-{image:04}.png",
    (TRAIN, PNEUMONIA): "train/PNEUMONIA/person{patient:04}_bacteria_{image:04}.png",
    (TEST, NORMAL): "test/NORMAL/IM-{patient:04}-{image:04}.png",
    (TEST, PNEUMONIA): "test/PNEUMONIA/person{patient:04}_bacteria_{image:04}.png",
}
_N_IMAGES: Final = (1, 1, 2)  # of a patient, each as likely
_JITTER: Final = 0.02
_NOISE: Final = 12


@dataclass(frozen=True)
class _Shadow:
    """A soft elliptic spot in the lungs; `density` below 0 is darker than what is around it."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    density: float


@dataclass(frozen=True, kw_only=True)
class _Patient:
    width: float
    height: float
    heart: float
    diaphragm: float
    n_ribs: float
    first_rib: float
    shadows: tuple[_Shadow, ...]
    brightness: float
    contrast: float
    x: float
    y: float
    tilt: float


def open_phantom(seed: int = 0, *, size: int = 64) -> Dataset:
    """Draw the phantom: 800 images to train on and 400 to test, half of each with pneumonia."""
    files, labels, split, images = zip(*_draw(seed, size), strict=True)
    return open_source(
        Source(
            name="phantom",
            location="phantom",
            format="phantom",
            is_phantom=True,
            labels=np.array(labels, np.uint8),
            split=np.array(split, np.uint8),
            patients=patients_of(files).keys,
            n_known=len(files),
            files=files,
            originals=lambda positions: (images[position] for position in positions),
        )
    )


def write_phantom(folder: Path, *, seed: int = 0, size: int = 64) -> None:
    """Write the phantom in the layout and with the file names of the public release.

    It is there whole or not at all: half of it would pass for other data.

    Raises:
        DataError: the folder is not empty, or cannot be written.
    """
    try:
        place = folder.resolve()
        if place.exists() and any(place.iterdir()):
            raise DataError(f"{folder} is not empty: give a new folder for the phantom.")
        temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        try:
            _write_files(temporary, seed=seed, size=size)
            temporary.replace(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as problem:
        raise DataError(
            f"The phantom cannot be written to {folder}: {problem}. Give another folder."
        ) from None


def _write_files(folder: Path, *, seed: int, size: int) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    (folder / PHANTOM_MARK).write_text("Synthetic images written by `hpo data generate`.\n")
    for file, _, _, image in _draw(seed, size):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / file)


def _draw(seed: int, size: int) -> Iterator[tuple[str, int, int, Pixels]]:
    """Yield file name, label, split and image, in the order in which a folder is read."""
    number = 0
    for hospital in _HOSPITALS:
        for label in (NORMAL, PNEUMONIA):
            n_missing = hospital.n_per_class
            while n_missing:
                number += 1
                random = np.random.Generator(np.random.PCG64([seed, number]))
                patient = _admit(random, hospital, label)
                n_siblings = min(n_missing, _N_IMAGES[int(random.integers(len(_N_IMAGES)))])
                n_missing -= n_siblings
                for i in range(1, n_siblings + 1):
                    file = _FILES[hospital.split, label].format(patient=number, image=i)
                    yield file, label, hospital.split, _expose(random, patient, size)


def _admit(random: np.random.Generator, hospital: _Hospital, label: int) -> _Patient:
    shadows = [_shadow(random, (-0.08, 0.08), (0.08, 0.35)) for _ in range(8)]
    if label == PNEUMONIA:
        n_opacities = int(random.integers(1, 4))
        shadows += [_shadow(random, (0.05, 0.22), (0.2, 0.45)) for _ in range(n_opacities)]
    return _Patient(
        width=_between(random, hospital.width),
        height=_between(random, (0.85, 1.1)),
        heart=_between(random, (0.26, 0.4)),
        diaphragm=_between(random, (0.4, 0.6)),
        n_ribs=_between(random, (4.0, 5.5)),
        first_rib=_between(random, (0.0, 1.0)),
        shadows=tuple(shadows),
        brightness=_between(random, hospital.brightness),
        contrast=_between(random, hospital.contrast),
        x=_between(random, (-0.06, 0.06)),
        y=_between(random, (-0.06, 0.06)),
        tilt=_between(random, (-0.08, 0.08)),
    )


def _shadow(random: np.random.Generator, density: _Range, radius: _Range) -> _Shadow:
    side = 1.0 if random.integers(2) else -1.0
    return _Shadow(
        x=side * _between(random, (0.2, 0.65)),
        y=_between(random, (-0.55, 0.45)),
        radius_x=_between(random, radius),
        radius_y=_between(random, radius),
        density=_between(random, density),
    )


def _expose(random: np.random.Generator, patient: _Patient, size: int) -> Pixels:
    """Take one image: the patient a little moved, and a little more or less exposed."""
    moved, turned, exposed = (_between(random, (-_JITTER, _JITTER)) for _ in range(3))
    tilt = patient.tilt + turned
    axis = (np.arange(size) * 2.0 + 1.0 - size) / size
    x, y = axis[None, :] - (patient.x + moved), axis[:, None] - (patient.y + moved)
    density = _density(patient, (x + tilt * y) / patient.width, (y - tilt * x) / patient.height)
    level = (density - 0.4) * patient.contrast + (0.4 + patient.brightness + exposed)
    noise = random.integers(-_NOISE, _NOISE + 1, (2, size, size))
    gray = np.floor(level * 255.0 + 0.5) + noise[0] + noise[1]
    image: Pixels = np.clip(gray, 0.0, 255.0).astype(np.uint8)
    return image


def _density(patient: _Patient, x: _Plane, y: _Plane) -> _Plane:
    """Return what the chest absorbs at each point; the body spans -1..1 across."""
    body = _ellipse(x, y, (0.0, 0.35), (1.0, 1.45), edge=0.15)
    left = _ellipse(x, y, (-0.42, -0.05), (0.36, 0.75), edge=0.5)
    right = _ellipse(x, y, (0.42, -0.05), (0.36, 0.75), edge=0.5)
    dome = np.abs(x) - 0.4
    above_diaphragm = _step(patient.diaphragm - 1.2 * dome * dome - y, 0.12)
    heart = _ellipse(x, y, (0.13, 0.28), (patient.heart, 1.1 * patient.heart), edge=0.4)
    lungs = np.maximum(left, right) * above_diaphragm * (1.0 - heart)
    along = y * patient.n_ribs + patient.first_rib + 1.2 * x * x
    ribs = _step(0.2 - np.abs(along - np.floor(along) - 0.5), 0.15)
    spine = _step(0.12 - np.abs(x), 0.1)
    density = 0.1 + body * (0.52 + 0.12 * spine) - lungs * (0.36 - 0.08 * ribs)
    for shadow in patient.shadows:
        center, radii = (shadow.x, shadow.y), (shadow.radius_x, shadow.radius_y)
        density += lungs * (shadow.density * _ellipse(x, y, center, radii, edge=1.0))
    return density


def _ellipse(
    x: _Plane, y: _Plane, center: tuple[float, float], radii: tuple[float, float], *, edge: float
) -> _Plane:
    across, down = (x - center[0]) / radii[0], (y - center[1]) / radii[1]
    return _step(1.0 - across * across - down * down, edge)


def _step(depth: _Plane, edge: float) -> _Plane:
    """Return 0 outside, 1 inside, and between them a smooth rise over `edge`."""
    rise = np.clip(depth / edge + 0.5, 0.0, 1.0)
    return rise * rise * (3.0 - 2.0 * rise)


def _between(random: np.random.Generator, bounds: _Range) -> float:
    low, high = bounds
    return low + (high - low) * float(random.random())
