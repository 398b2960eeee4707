"""What scores say, and what they do not.

intervals   the mean of repeats with its interval
sweeps      the verdict of a sweep: every pair of values, paired by repeat
images      fixed models on the same images: McNemar, accuracy, AUROC
bootstrap   their intervals over patients
outcome     what to say of many pairs
repeats     how many repeats would tell a difference
"""

from hpo.stats.bootstrap import bootstrap_by_patient
from hpo.stats.images import Statistic, auroc, difference_of, mcnemar, share
from hpo.stats.intervals import Interval, mean_interval, wilson
from hpo.stats.outcome import outcome
from hpo.stats.records import ACCURACY, PairComparison, ScoreKind, SweepComparison
from hpo.stats.repeats import needed_repeats
from hpo.stats.sweeps import compare_best, compare_pairs, compare_sweep

__all__ = [
    "ACCURACY",
    "Interval",
    "PairComparison",
    "ScoreKind",
    "Statistic",
    "SweepComparison",
    "auroc",
    "bootstrap_by_patient",
    "compare_best",
    "compare_pairs",
    "compare_sweep",
    "difference_of",
    "mcnemar",
    "mean_interval",
    "needed_repeats",
    "outcome",
    "share",
    "wilson",
]
