"""What a comparison of the values of a sweep says."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from hpo.stats.intervals import Interval


@dataclass(frozen=True, slots=True)
class ScoreKind:
    """Which way a score is better, and whether it is a share, told in points: hundredths."""

    direction: Literal["maximize", "minimize"] = "maximize"
    is_share: bool = True


ACCURACY: Final = ScoreKind()


@dataclass(frozen=True, slots=True)
class PairComparison:
    """Two values of a sweep.

    `difference` is the mean score of `b` minus that of `a` over the `n_pairs` repeats that both
    have; above zero, b scored higher. `is_real` says that the difference is told: then, and only
    then, `low` to `high` holds no zero and `p_value`, corrected for the number of pairs, is below
    1 - level. Without two such repeats there is no interval and no p-value.
    """

    a: Hashable
    b: Hashable
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    is_real: bool
    n_pairs: int
    sentence: str


@dataclass(frozen=True, slots=True)
class SweepComparison:
    """Per value the mean, interval and deviation of its scores; every pair of values compared.

    Of very many values the best are there, with the pairs of these; `n_left_out` counts the other
    pairs, which the p-values are corrected for as well.
    """

    values: Mapping[Hashable, Interval]
    pairs: tuple[PairComparison, ...]
    n_left_out: int = 0

    @property
    def n_pairs(self) -> int:
        """The number of pairs, with those that are left out."""
        return len(self.pairs) + self.n_left_out
