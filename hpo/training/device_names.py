"""The words that name a device and a precision, checked without torch."""

import re
from typing import Final

from hpo.errors import UsageError

PRECISIONS: Final = ("auto", "bf16", "fp32")


def check_names(device: str, precision: str) -> None:
    """Check the words alone; whether this machine has the device is asked of torch.

    Raises:
        UsageError: a word that names nothing.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"--device takes auto, cpu, cuda or cuda:N, but got {device!r}.")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision takes {', '.join(PRECISIONS)}, but got {precision!r}.")
