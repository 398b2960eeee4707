"""The choices of fields and options; it imports fast, for the help of the command line."""

import math
from typing import Final, Literal

from hpo.errors import UsageError

Activation = Literal["relu", "leaky_relu", "sigmoid", "tanh", "gelu", "silu"]
Loss = Literal["bce", "ce", "focal", "l1", "mse", "smooth_l1"]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
Scheduler = Literal["none", "cosine", "step", "multistep", "polynomial", "plateau"]
Normalize = Literal["unit", "none", "image"]
Align = Literal["none", "template"]
ScoredWeights = Literal["last", "average"]
ClassWeight = Literal["none", "balanced"]
Sampler = Literal["tpe", "gp", "random", "qmc"]
Pruner = Literal["median", "none"]

DEFAULT_SPACE: Final = "chest_xray"
AUTO: Final[Sampler] = "gp"
"""The sampler that `auto` means."""
N_TRIALS: Final = 60
N_FINALISTS: Final = 3
N_FINAL_REPEATS: Final = 5
"""The default number of trainings of a search is 75."""

INPUT_SCALES: Final = ("unit", "symmetric", "raw", "image")
_MOST_LANES: Final = 256


def read_lanes(lanes: str | int | None) -> int | None:
    """Return the number of trainings to run in parallel, None for `auto`.

    Raises:
        UsageError: it is neither `auto` nor an integer from 1 to 256.
    """
    if lanes is None or lanes == "auto":
        return None
    text = str(lanes)
    if text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= _MOST_LANES:
        return int(text)
    raise UsageError(f"--lanes must be auto or from 1 to {_MOST_LANES}, but is {text[:20]!r}.")


def read_mean_and_deviation(text: str) -> tuple[float, float]:
    """Read `MEAN,STD` of pixels / 255, as for torchvision's Normalize.

    Raises:
        UsageError: these are not two numbers, or the deviation is not above 0.
    """
    try:
        mean, deviation = map(float, text.split(","))
    except ValueError:
        mean, deviation = math.nan, math.nan
    if not (math.isfinite(mean) and 0 < deviation < math.inf):
        raise UsageError(
            f"--input-scale must be {', '.join(INPUT_SCALES)}, or MEAN,STD of pixels / 255 (such "
            f"as 0.48,0.24), but is {text[:40]!r}."
        )
    return mean, deviation
