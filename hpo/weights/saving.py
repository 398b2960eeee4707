"""Weights for other programs: torch's own file, and the network as a few lines of Python."""

import io

import numpy as np
import torch

from hpo.config import TrainingConfig
from hpo.training.engine import Weights
from hpo.training.model import plain_model

_SCALE = {
    "unit": "pixels / 255",
    "none": "pixels 0..255",
    "image": "(pixels - mean) / deviation, of each image (hpo.training.model.scale_pixels)",
}


def to_torch_file(weights: Weights) -> bytes:
    """Return the state dict as torch.save writes it, for torch.load(weights_only=True)."""
    file = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(value)) for name, value in weights.items()}, file)
    return file.getvalue()


def network_script(config: TrainingConfig, file: str) -> str:
    """Return a Python script that builds the network of a configuration and loads a file."""
    modules = "".join(f"    nn.{module},\n" for module in plain_model(config))
    side = config.image_size
    return f'''\
"""This configuration's network in plain torch, with the weights of its first repeat.

It takes float32 images (n, {side}, {side}): {_SCALE[config.normalize]}.
"""

from pathlib import Path

import torch
from torch import nn

network = nn.Sequential(
{modules})
weights = Path(__file__).with_name("{file}")
network.load_state_dict(torch.load(weights, weights_only=True))
network.eval()
'''
