"""Weights for other programs: safetensors, torch's own file, and the network as a short script."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.numpy import save

from hpo.config import TrainingConfig
from hpo.models import own_arguments
from hpo.training.alignment import TEMPLATE
from hpo.training.engine import Weights
from hpo.training.model import plain_model

CONFIG_KEY: Final = "hpo.config"
"""Under which safetensors hold the configuration of their network, as JSON."""

BITS_KEY: Final = "bits"
"""What stands beside the fields of a configuration that was trained on 16-bit images."""

CLASSES_KEY: Final = "classes"
"""What stands beside them where the classes are not normal and pneumonia: their names."""

THRESHOLD_KEY: Final = "threshold"
"""What stands beside them where another threshold than 0.5 was chosen."""

_SCALE: Final = {
    "unit": "pixels / 255",
    "none": "pixels 0..255",
    "image": "(pixels - mean) / deviation, of each image (hpo.training.model.scale_pixels)",
}

# How a script prepares images that are aligned.
_INPUTS: Final = '''
def inputs(network, images):
    """Return uint8 images (n, height, width) aligned to the network's template, and scaled."""
    values = align(images, network.template).double()
    {scaled}
    return values.float(){channel}

'''
_SCALED: Final = {
    "unit": "values /= 255",
    "none": "",
    "image": "deviation = values.std((1, 2), correction=0, keepdim=True)\n"
    "    values -= (values.mean((1, 2), keepdim=True) + 0.5).floor()\n"
    "    values /= deviation.where(deviation > 0, 1)",
}


def to_safetensors_file(weights: Weights, fields: Mapping[str, object]) -> bytes:
    """Return weights as safetensors that say which configuration they are of."""
    return save(weights, metadata={CONFIG_KEY: json.dumps(fields)})


def to_torch_file(weights: Weights) -> bytes:
    """Return the state dict as torch.save writes it, for torch.load(weights_only=True)."""
    file = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(value)) for name, value in weights.items()}, file)
    return file.getvalue()


def network_script(
    config: TrainingConfig, files: Sequence[str], class_names: Sequence[str]
) -> str:
    """Return a Python script that builds the network of a configuration and loads its weights.

    `files` are those of its repeats, beside the script.
    """
    what = "classes[1] (n,)" if config.n_outputs <= 2 else f"each class (n, {config.n_outputs})"
    modules = "".join(f"        nn.{module},\n" for module in plain_model(config, device="meta"))
    paths = "".join(f'    folder / "{file}",\n' for file in files)
    imported, made = "from torch import nn", f"nn.Sequential(\n{modules}    )"
    shape, needed = f"(n, {config.image_size}, {config.image_size})", ""
    if own := config.model:
        file, _, name = own.entry.rpartition(":")
        imported = f"from {Path(file).stem} import {name}"
        made = f"{name}(**{own_arguments(config, seed=0)})"
        shape = shape.replace("n,", "n, 1,")
        needed = f"\nThe network is made by {file} beside this file, of digest {own.digest}.\n"
    takes, state = f"Both take float32 images {shape}: {_SCALE[config.normalize]}.", ""
    inputs, prepared = "", "images"
    if config.align == "template":
        imported += "\n\nfrom alignment import align"
        takes = (
            f"The ensemble takes uint8 images (n, {config.image_size}, {config.image_size}); "
            "`inputs` makes of them what a network takes."
        )
        state = f'\n    network.template = state.pop("{TEMPLATE}")'
        prepared = "inputs(network, images)"
        inputs = _INPUTS.format(
            scaled=_SCALED[config.normalize], channel="[:, None]" if config.model else ""
        )
    return f'''\
"""This configuration in plain torch: the network of its first repeat, and the ensemble of all.

{takes}
{needed}"""

from pathlib import Path

import torch
{imported}


def load(file):
    """Return the network with the weights of a file, without dropout."""
    network, state = {made}, torch.load(file, weights_only=True){state}
    network.load_state_dict(state)
    return network.eval()

{inputs}
@torch.inference_mode()
def ensemble(images):
    """Return the probability of {what}: the mean over all repeats."""
    each = [{_probability(config)} for z in (network({prepared}) for network in map(load, files))]
    return torch.stack(each).mean(0)


classes = {list(class_names)!r}
folder = Path(__file__).parent
files = [
{paths}]
network = load(files[0])
'''


def _probability(config: TrainingConfig) -> str:
    """Return the probability of logits `z` in torch, as `hpo.training.losses` takes it."""
    if config.n_outputs > 2:
        outputs = "nn.functional.logsigmoid(z)" if config.loss == "bce" else "z"
        return f"{outputs}.softmax(1)"
    if config.n_outputs == 1:
        return "z[:, 0].sigmoid()"
    if config.loss == "bce":
        return "((z[:, 1] - z[:, 0]) / 2).sigmoid()"
    return "(z[:, 1] - z[:, 0]).sigmoid()"
