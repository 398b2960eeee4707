"""Which configuration and repeat to train next: grids and searches over one study."""

from hpo.search.grid import GridSource
from hpo.search.job import Job, Source, run_key
from hpo.search.open_search import SearchSource
from hpo.search.stale import recover

__all__ = ["GridSource", "Job", "SearchSource", "Source", "recover", "run_key"]
