"""Space files: a base configuration, prescribed sweeps around it, and ranges to search."""

from hpo.space.cells import (
    active,
    cells,
    complete,
    filled,
    n_combinations,
    read_point,
    resolve,
    search_cells,
)
from hpo.space.edit import open_space, override, restrict, with_values
from hpo.space.files import (
    from_document,
    load_space,
    read_space,
    space_differences,
    space_names,
    to_document,
)
from hpo.space.records import Cell, Choices, Parameter, Range, Space, Sweep

__all__ = [
    "Cell", "Choices", "Parameter", "Range", "Space", "Sweep", "active", "cells", "complete",
    "filled", "from_document", "load_space", "n_combinations", "open_space", "override",
    "read_point", "read_space", "resolve", "restrict", "search_cells", "space_differences",
    "space_names", "to_document", "with_values",
]  # fmt: skip
