"""What a comparison of scores found, as records."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from hpo.stats.intervals import Interval

Span: TypeAlias = tuple[int, int | None]
MOST_REPEATS: Final = 200
"""More repeats than anyone looks forward to."""
Answer = Literal["better", "same", "undecided", "untested"]


@dataclass(frozen=True, slots=True)
class ScoreKind:
    """Which way a score is better, and whether it is a share, written in points: hundredths.

    `margin` is the difference that is too small to matter; None where no difference is.
    """

    direction: Literal["maximize", "minimize"] = "maximize"
    is_share: bool = True
    margin: float | None = 0.01


ACCURACY: Final = ScoreKind()


@dataclass(frozen=True, slots=True)
class PairComparison:
    """Two values of a sweep.

    `difference` is the mean score of `b` minus that of `a` over the `n_pairs` repeats that both
    have; above zero, b scored higher. `is_real` says that `low` to `high` holds no zero and that
    `p_value`, corrected for the number of pairs, is below 1 - level. Without two such repeats
    there is no interval and no p-value.

    `bound` is what the size of the difference does not exceed, at the level of the comparison;
    None below three repeats or without a margin. `answer` is "same" where it is within the margin,
    else "better" where the interval holds no zero, else "undecided"; "untested" below two repeats.
    `repeats` says from and to how many repeats, with those there are, an undecided pair is decided
    in four of five sweeps; the end is None where it is far away.
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
    answer: Answer = "undecided"
    repeats: Span | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class SweepComparison:
    """Per value the mean, interval and deviation of its scores; every pair of values compared.

    Of very many values the best are there, with the pairs of these; `n_left_out` counts the other
    pairs, which the p-values are corrected for as well. `basis` says in a sentence which scores
    were compared, where these are not the ones in the tables.
    """

    values: Mapping[Hashable, Interval]
    pairs: tuple[PairComparison, ...]
    n_left_out: int = 0
    kind: ScoreKind = ACCURACY
    basis: str = ""

    @property
    def n_pairs(self) -> int:
        """The number of pairs, with those that are left out."""
        return len(self.pairs) + self.n_left_out
