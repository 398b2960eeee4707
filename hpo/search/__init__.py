"""Which configuration and repeat to train next: grids and searches over one study."""

from hpo.search.grid import GridSource
from hpo.search.job import Begun, Job, Source, run_key
from hpo.search.open_search import SearchSource

__all__ = ["Begun", "GridSource", "Job", "SearchSource", "Source", "run_key"]
