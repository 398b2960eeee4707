"""The database of studies with its lock, the run store, and the paths of files.

database  Optuna's database: damage is isolated and reported, errors come with advice
opening   opening it, SQLite or PostgreSQL
url       its URL, with passwords hidden
lock      one driver per study
runs      the run store: one file per finished training
paths     the folders and pages next to the database
"""

from typing import Final

MOST_TRIALS: Final = 50_000
"""The most trials of a study; reading them takes ten seconds."""
