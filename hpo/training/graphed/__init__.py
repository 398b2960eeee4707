"""Training on a GPU: every lane in memory of its own, its epoch a CUDA graph on its own stream.

Kernels of one lane wait for memory while those of another compute; what a lane computes has
nothing of another in it.
"""

from importlib.util import find_spec

from hpo.training.device import Device


def can_train(device: Device) -> bool:
    """Whether this way to train is open: a GPU, and the compiler that comes with torch for it."""
    is_known = device.type == "cuda" and device.precision in ("bf16", "fp32")
    return is_known and find_spec("triton") is not None
