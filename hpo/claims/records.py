"""What is said about the curves of a study."""

from collections.abc import Mapping
from dataclasses import dataclass

from hpo.claims.kinds import Kind
from hpo.claims.target import Target
from hpo.config import Scalar
from hpo.stats import Interval, PairComparison
from hpo.summary import Configuration


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One claim for one configuration, called `value` as in the verdict.

    `repeats` holds the measure of repeat 0, 1, …; None where it is not known. A training that has
    no such epoch up to the horizon counts as the horizon: of those there are `n_never`, and the
    mean is then a lower bound.
    """

    value: Scalar
    interval: Interval
    repeats: tuple[float | None, ...]
    n_never: int


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim for every configuration and every pair of them."""

    kind: Kind
    measured: tuple[Measured, ...]
    pairs: tuple[PairComparison, ...]


@dataclass(frozen=True, kw_only=True)
class ClaimsSummary:
    """What the curves of a study say, by configuration.

    Each is called by its value, as in the verdict; in a search, by its number. `horizon` is the
    last epoch that counts where a measure is an epoch: as many as every one of them may train.
    """

    configurations: Mapping[Scalar, Configuration]
    target: Target
    horizon: int
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
