"""Space files: a base configuration, prescribed sweeps around it, open ranges to search."""

from hpo.space.documents import from_document, space_differences, to_document
from hpo.space.editing import override, restrict, with_values
from hpo.space.files import load_space, space_names
from hpo.space.grid import cells, n_combinations
from hpo.space.records import (
    Cell,
    Choices,
    Domain,
    FloatRange,
    IntRange,
    Parameter,
    Space,
    Sweep,
    SweepValue,
    value_text,
)
from hpo.space.resolving import complete, first_cell, params_of, resolve, search_cells

__all__ = [
    "Cell",
    "Choices",
    "Domain",
    "FloatRange",
    "IntRange",
    "Parameter",
    "Space",
    "Sweep",
    "SweepValue",
    "cells",
    "complete",
    "first_cell",
    "from_document",
    "load_space",
    "n_combinations",
    "override",
    "params_of",
    "resolve",
    "restrict",
    "search_cells",
    "space_differences",
    "space_names",
    "to_document",
    "value_text",
    "with_values",
]
