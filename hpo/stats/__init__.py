"""What the scores of repeats say: intervals of means."""

from hpo.stats.intervals import Interval, mean_interval

__all__ = ["Interval", "mean_interval"]
