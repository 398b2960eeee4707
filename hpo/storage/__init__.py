"""The database of studies with its lock, the run store, and where files are."""

from typing import Final

MOST_TRIALS: Final = 50_000
"""The most trials that a study may hold: to read them takes ten seconds."""
