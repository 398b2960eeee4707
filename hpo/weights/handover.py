"""The exported model: one program, and a script that runs it without hpo."""

import io
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hpo.data.dataset import SYNTHETIC
from hpo.errors import WeightsError
from hpo.training.alignment import align_to_each
from hpo.weights.network import Network

_TOLERANCE = 1e-6


class _Ensemble(nn.Module):
    """From one gray image, uint8 `(1, side, side)`, to the mean of the networks' probabilities."""

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        self.members = nn.ModuleList(network.model for network in networks)
        self.networks = networks

    def forward(self, image: Tensor) -> Tensor:
        images = image.expand(len(self.networks), -1, -1)
        if templates := [n.template for n in self.networks if n.template is not None]:
            images = align_to_each(image, torch.stack(templates))
        pairs = zip(self.networks, torch.split(images, 1), strict=True)
        return torch.stack([n.of_logits(n.of_aligned(own)) for n, own in pairs]).mean(0)


@torch.no_grad()
def to_program(networks: Sequence[Network]) -> bytes:
    """Return networks of one configuration as a file for `torch.export.load`: their mean.

    Raises:
        WeightsError: torch.export fails, or the program gives other probabilities.
    """
    side = networks[0].side
    image = np.random.default_rng(0).integers(0, 256, (1, side, side), np.uint8)
    file = io.BytesIO()
    try:
        example = torch.from_numpy(image)
        program = torch.export.export(_Ensemble(networks).eval(), (example,), strict=False)
        torch.export.save(program, file)
        output = program.module()(example).numpy()
    except Exception as problem:  # Custom networks may cause any error.
        reason = str(problem).partition("\n")[0][:300] or type(problem).__name__
        raise WeightsError(f"torch.export does not support this network: {reason}") from None
    difference = np.abs(output - np.mean([n.probabilities(image) for n in networks], axis=0)).max()
    if not difference <= _TOLERANCE:
        raise WeightsError(f"the exported program gives other probabilities ({difference:.2g})")
    return file.getvalue()


def predict_script(network: Network) -> str:
    """Return a Python script that classifies image files with the program next to it.

    It reads and resizes them like `hpo.data.images`.
    """
    side, names = network.side, network.class_names
    whose, label = "each class", "CLASSES[int(np.argmax(p))]"
    rule = "# The most likely class is predicted."
    if len(names) == 2:
        whose, label = names[1], "CLASSES[int(p[0] > THRESHOLD)]"
        rule = f"THRESHOLD = {network.threshold!r}  # A probability above it means {names[1]}."
    version = torch.__version__.partition("+")[0]
    trained_on = f"\n{SYNTHETIC}" if network.is_phantom else ""
    return f'''\
"""The probability of {whose} for image files: python predict.py IMAGE...

It needs model.pt2 next to it, torch {version} or newer, numpy and Pillow, but not hpo.{trained_on}
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

CLASSES = {names!r}
{rule}
SIDE = {side}  # Images become gray and are resized to SIDE x SIDE pixels, for any shape.
BITS = {network.bits}  # The used depth of 16-bit training images, 0 if there were none.

model = torch.export.load(Path(__file__).with_name("model.pt2")).module()


def read(path):
    """Return an image file as input of the model: uint8 (1, SIDE, SIDE)."""
    with open(path, "rb") as file, Image.open(file) as image:
        image.draft("L", None)
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode[0] in "IF":  # 16 bits: the highest value becomes white.
            wide = np.asarray(image).astype(np.int64)
            if image.mode == "F" or wide.min() < 0 or wide.max() > 65535:
                raise ValueError("save it as whole numbers from 0 to 65535")
            most = 2 ** max(BITS, next((b for b in (8, 10, 12, 14) if wide.max() < 2**b), 16)) - 1
            image = Image.fromarray(((wide * 255 + most // 2) // most).astype(np.uint8))
        elif image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
        gray = image.convert("L")
        return np.array(gray.resize((SIDE, SIDE), Image.Resampling.BILINEAR))[None]


@torch.inference_mode()
def predict(path):
    """Return the probability of {whose}, as a list."""
    return model(torch.from_numpy(read(path))).flatten().tolist()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image file")
    n_failed = 0
    for path in parser.parse_args().images:
        try:
            p = predict(path)
        except Exception as error:  # Pillow raises many kinds.
            n_failed += 1
            print(f"{{path}} cannot be read: {{error}}", file=sys.stderr)
            continue
        print({label}, *(f"{{probability:.6f}}" for probability in p), path, sep="  ")
    sys.exit(n_failed > 0)
'''
