"""Which configuration and repeat to train next: grids and searches over one study.

grid        every cell and repeat once
tpe         a search: proposals, their further repeats, finalists, course networks
proposals   the samplers, what they see, and the pruners
"""

from hpo.search.grid import GridSource
from hpo.search.tpe import SearchSource

Source = GridSource | SearchSource
"""What hands out the trials of a study: `next(running)` and `n_left()`."""

__all__ = ["GridSource", "SearchSource", "Source"]
