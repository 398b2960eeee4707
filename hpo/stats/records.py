"""The results of comparisons, as records."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from hpo.stats.intervals import Interval

Span: TypeAlias = tuple[int, int | None]
MOST_REPEATS: Final = 200
"""A larger number of needed repeats is not reported."""
Answer = Literal["better", "same", "undecided", "untested"]


@dataclass(frozen=True, slots=True)
class ScoreKind:
    """The direction of a score, and whether it is a share (written in points, hundredths).

    `margin` is the largest difference that does not matter; None if every difference matters.
    """

    direction: Literal["maximize", "minimize"] = "maximize"
    is_share: bool = True
    margin: float | None = 0.01


ACCURACY: Final = ScoreKind()


@dataclass(frozen=True, slots=True)
class PairComparison:
    """Two values of a sweep.

    `difference` is the mean score of `b` minus that of `a` over the `n_pairs` repeats that both
    have; above zero, b scored higher. `is_real` is true if `low` to `high` excludes zero and
    `p_value`, corrected for the number of pairs, is below 1 - level. With fewer than two such
    repeats there is no interval and no p-value.

    `bound` is an upper bound for the size of the difference, at the level of the comparison; None
    for fewer than three repeats or without a margin. `answer` is "same" if it is within the
    margin, else "better" if the interval excludes zero, else "undecided"; "untested" for fewer
    than two repeats. `repeats` is the range of repeats, including present ones, that decides an
    undecided pair in four of five sweeps; its end is None if it is far away.
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
    """Per value the mean, interval and deviation of its scores; all compared pairs of values.

    If there are very many values, only the best are included; `n_left_out` counts the other pairs,
    which the p-values are also corrected for. `basis` is a sentence on the compared scores, if
    they are not the ones in the tables.
    """

    values: Mapping[Hashable, Interval]
    pairs: tuple[PairComparison, ...]
    n_left_out: int = 0
    kind: ScoreKind = ACCURACY
    basis: str = ""

    @property
    def n_pairs(self) -> int:
        """The number of pairs, including those left out."""
        return len(self.pairs) + self.n_left_out
