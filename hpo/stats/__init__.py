"""Intervals and comparisons of scores.

intervals   the mean of repeats with its interval
compare     the verdict of a sweep: every pair of values, and the number of repeats that decide it
paired      its arithmetic, for thousands of sweeps at once
sentences   a comparison in words
images      the variance due to images; McNemar's test and the bootstrap by patient
"""

from hpo.stats.compare import MOST_LOOKS, Answers, compare_sweep, level_of_looks
from hpo.stats.images import Statistic, auroc, mcnemar, share
from hpo.stats.intervals import Interval, mean_interval, wilson
from hpo.stats.records import ACCURACY, PairComparison, ScoreKind, SweepComparison
from hpo.stats.sentences import headline, outcome

__all__ = [
    "ACCURACY", "MOST_LOOKS", "Answers", "Interval", "PairComparison", "ScoreKind", "Statistic",
    "SweepComparison", "auroc", "compare_sweep", "headline", "level_of_looks", "mcnemar",
    "mean_interval", "outcome", "share", "wilson",
]  # fmt: skip
