"""The samplers of a search, made anew for each configuration from the study's seed."""

import hashlib
import warnings
from collections.abc import Callable
from typing import Final

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler


def make_sampler(name: str, *, seed: int, ordinal: int) -> BaseSampler:
    """Return the sampler that proposes configuration number `ordinal`.

    Its seed comes from the study's seed and the ordinal: a search that is resumed goes on as it
    would have without a stop, instead of repeating its first proposals.
    """
    return SAMPLERS[name](_derive(seed, ordinal))


def _tpe(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        # `group` models conditional parameters together; Optuna calls it experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True)


def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


SAMPLERS: Final[dict[str, Callable[[int], BaseSampler]]] = {"tpe": _tpe, "random": _random}


def _derive(seed: int, ordinal: int) -> int:
    digest = hashlib.sha256(f"{seed}/{ordinal}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
