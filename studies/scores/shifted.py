"""The phantom with three shifted tests: its own, another pose, another detector."""

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from hpo.data import NORMAL, PNEUMONIA, TEST, open_phantom
from hpo.data.dataset import Pixels

_SIZE: Final = 64
SHIFTS: Final = ("other bodies and exposure", "other pose", "other detector")


def write(folder: Path) -> Path:
    """Write the pool and the three tests one after another, as the four files of the course."""
    if not folder.is_dir():
        phantom = open_phantom()
        pixels, labels = phantom.pixels_at(_SIZE), phantom.labels
        is_test = phantom.split == TEST
        folder.mkdir(parents=True)
        for label, name in ((NORMAL, "normal"), (PNEUMONIA, "pneumonia")):
            np.save(folder / f"{name}.npy", pixels[~is_test & (labels == label)])
            own = pixels[is_test & (labels == label)]
            np.save(
                folder / f"test_{name}.npy",
                np.concatenate([own, _other_pose(own), _other_detector(own)]),
            )
    return folder


def _other_pose(images: Pixels) -> Pixels:
    """Cut the left 5 and the upper 15 % off, as of a child who slipped down and leans."""
    left, top = round(0.05 * _SIZE), round(0.15 * _SIZE)
    return np.stack(
        [
            np.asarray(Image.fromarray(image[top:, left:]).resize((_SIZE, _SIZE)))
            for image in images
        ]
    )


def _other_detector(images: Pixels) -> Pixels:
    """Bend the gray scale (gamma 1.6) and let it fall off towards the right by a fifth."""
    falling = np.linspace(1.0, 0.8, _SIZE)
    bent = 255 * (images / 255) ** 1.6 * falling
    return np.clip(np.round(bent), 0, 255).astype(np.uint8)
