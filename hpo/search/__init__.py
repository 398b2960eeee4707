"""Which configuration and repeat to train next: grids and searches over one study.

trials      the trials of a study, read and begun, and the job that each of them holds
grid        every cell and repeat once
tpe         a search: proposals, their further repeats, finalists, course networks
proposals   the samplers, and what they see
pruning     the pruners
"""

from hpo.search.grid import GridSource
from hpo.search.tpe import SearchSource
from hpo.search.trials import Job, RunningTrial, run_key

Source = GridSource | SearchSource
"""What hands out the trials of a study: `next(running)` and `n_left()`."""

__all__ = ["GridSource", "Job", "RunningTrial", "SearchSource", "Source", "run_key"]
