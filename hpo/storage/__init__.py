"""The database of studies, the run store and where files lie."""

from typing import Final

MOST_TRIALS: Final = 50_000
"""The most trials that a study may hold: to read so many takes ten seconds."""
