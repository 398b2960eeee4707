"""The phantom: a synthetic chest X-ray with lungs, ribs, heart and diaphragm.

Anatomy, exposure and pose belong to a patient; the images of a patient share them except for small
changes of exposure and pose. Pneumonia adds soft opacities inside the lungs; both classes have
fainter shadows, so that no single bright spot is decisive. The test split comes from another
hospital, with other exposures and body sizes.

The same seed gives the same bits on every machine. Random numbers are PCG64's integers or their
quotients by a power of two, and pixels result from single additions, multiplications and
divisions, which IEEE 754 rounds identically everywhere: no sine, exponential or sum over an array.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import CLASS_NAMES, NORMAL, PNEUMONIA, TEST, TRAIN, Pixels
from hpo.data.image_folders import PHANTOM_MARK, patients_of
from hpo.data.table import Row, Table
from hpo.errors import DataError

_Plane: TypeAlias = NDArray[np.float64]
_Pair: TypeAlias = tuple[float, float]

# Split, folder, images per class, and the ranges of body width, brightness and contrast.
_HOSPITALS: Final = (
    (TRAIN, "train", 400, (0.8, 0.98), (-0.04, 0.04), (0.9, 1.1)),
    (TEST, "test", 200, (0.92, 1.15), (0.05, 0.2), (0.65, 0.95)),
)
_FILES: Final = {
    NORMAL: "{folder}/NORMAL/IM-{patient:04}-{image:04}.png",
    PNEUMONIA: "{folder}/PNEUMONIA/person{patient:04}_bacteria_{image:04}.png",
}
_N_IMAGES: Final = (1, 1, 2)  # of a patient, equally likely
_JITTER: Final = 0.02
_NOISE: Final = 12


@cache
def draw(seed: int, size: int) -> Table:
    """Draw 800 images to train on and 400 to test, half of each with pneumonia."""
    files, labels, split, images = zip(*_draw(seed, size), strict=True)
    by, patients, _ = patients_of(files)
    return Table(
        name="phantom",
        location="phantom",
        format="phantom",
        is_phantom=True,
        rows=[
            Row(file, (CLASS_NAMES[label],), of, *patient)
            for file, label, of, patient in zip(files, labels, split, patients, strict=True)
        ],
        patients_by=by,
        read=lambda some: map(dict(zip(files, images, strict=True)).__getitem__, some),
    )


def write_phantom(folder: Path, *, seed: int = 0, size: int = 64) -> None:
    """Write the phantom in the layout and with the file names of the public release.

    It is written completely or not at all, because a part would be another data set.

    Raises:
        DataError: the folder is not empty, or cannot be written.
    """
    from PIL import Image

    try:
        place = folder.resolve()
        if place.exists() and any(place.iterdir()):
            raise DataError(f"{folder} is not empty. Choose a new folder for the phantom.")
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as temporary:
            whole = Path(temporary, place.name)
            whole.mkdir()
            (whole / PHANTOM_MARK).write_text("Synthetic images written by `hpo data generate`.\n")
            for file, _, _, image in _draw(seed, size):
                (whole / file).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(whole / file)
            whole.replace(place)
    except OSError as problem:
        raise DataError(
            f"The phantom cannot be written to {folder}: {problem}. Choose another folder."
        ) from None


def _draw(seed: int, size: int) -> Iterator[tuple[str, int, int, Pixels]]:
    """Yield file name, label, split and image, in the order of reading a folder."""
    number = 0
    for split, folder, n_per_class, *ranges in _HOSPITALS:
        for label in (NORMAL, PNEUMONIA):
            n_missing = n_per_class
            while n_missing:
                number += 1
                random = np.random.Generator(np.random.PCG64([seed, number]))
                expose = _draw_patient(random, label, *ranges)
                n_siblings = min(n_missing, _N_IMAGES[int(random.integers(len(_N_IMAGES)))])
                n_missing -= n_siblings
                for i in range(1, n_siblings + 1):
                    file = _FILES[label].format(folder=folder, patient=number, image=i)
                    yield file, label, split, expose(size)


def _draw_patient(
    random: np.random.Generator, label: int, width: _Pair, brightness: _Pair, contrast: _Pair
) -> Callable[[int], Pixels]:
    """Draw a patient; return a function that draws slightly different images of a given size.

    The order of the random draws must not change, because it defines the images of a seed.
    """

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(random.random())

    def shadow(density: _Pair, radius: _Pair) -> tuple[_Pair, _Pair, float]:
        """Return center, radii and density of a spot; below 0 it darkens."""
        side = 1.0 if random.integers(2) else -1.0
        center = (side * between(0.2, 0.65), between(-0.55, 0.45))
        return center, (between(*radius), between(*radius)), between(*density)

    shadows = [shadow((-0.08, 0.08), (0.08, 0.35)) for _ in range(8)]
    if label == PNEUMONIA:
        n_opacities = int(random.integers(1, 4))
        shadows += [shadow((0.05, 0.22), (0.2, 0.45)) for _ in range(n_opacities)]
    body = (between(*width), between(0.85, 1.1))
    heart, diaphragm = between(0.26, 0.4), between(0.4, 0.6)
    n_ribs, first_rib = between(4.0, 5.5), between(0.0, 1.0)
    brightness_here, contrast_here = between(*brightness), between(*contrast)
    at, tilt = (between(-0.06, 0.06), between(-0.06, 0.06)), between(-0.08, 0.08)

    def density(x: _Plane, y: _Plane) -> _Plane:
        """Return the absorption of the chest at each point; the body spans -1..1 horizontally."""
        skin = _ellipse(x, y, (0.0, 0.35), (1.0, 1.45), edge=0.15)
        left = _ellipse(x, y, (-0.42, -0.05), (0.36, 0.75), edge=0.5)
        right = _ellipse(x, y, (0.42, -0.05), (0.36, 0.75), edge=0.5)
        dome = np.abs(x) - 0.4
        above_diaphragm = _step(diaphragm - 1.2 * dome * dome - y, 0.12)
        beside_heart = 1.0 - _ellipse(x, y, (0.13, 0.28), (heart, 1.1 * heart), edge=0.4)
        lungs = np.maximum(left, right) * above_diaphragm * beside_heart
        rib_phase = y * n_ribs + first_rib + 1.2 * x * x
        ribs = _step(0.2 - np.abs(rib_phase - np.floor(rib_phase) - 0.5), 0.15)
        spine = _step(0.12 - np.abs(x), 0.1)
        density = 0.1 + skin * (0.52 + 0.12 * spine) - lungs * (0.36 - 0.08 * ribs)
        for center, radii, depth in shadows:
            density += lungs * (depth * _ellipse(x, y, center, radii, edge=1.0))
        return density

    def expose(size: int) -> Pixels:
        moved, turned, exposed = (between(-_JITTER, _JITTER) for _ in range(3))
        turn = tilt + turned
        axis = (np.arange(size) * 2.0 + 1.0 - size) / size
        x, y = axis[None, :] - (at[0] + moved), axis[:, None] - (at[1] + moved)
        absorbed = density((x + turn * y) / body[0], (y - turn * x) / body[1])
        level = (absorbed - 0.4) * contrast_here + (0.4 + brightness_here + exposed)
        noise = random.integers(-_NOISE, _NOISE + 1, (2, size, size))
        gray = np.floor(level * 255.0 + 0.5) + noise[0] + noise[1]
        image: Pixels = np.clip(gray, 0.0, 255.0).astype(np.uint8)
        return image

    return expose


def _ellipse(x: _Plane, y: _Plane, center: _Pair, radii: _Pair, *, edge: float) -> _Plane:
    across, down = (x - center[0]) / radii[0], (y - center[1]) / radii[1]
    return _step(1.0 - across * across - down * down, edge)


def _step(depth: _Plane, edge: float) -> _Plane:
    """Return 0 outside, 1 inside, with a smooth rise over `edge` in between."""
    rise = np.clip(depth / edge + 0.5, 0.0, 1.0)
    return rise * rise * (3.0 - 2.0 * rise)
