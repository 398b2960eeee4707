"""The database of studies with its lock, the run store, and where files are.

database  Optuna's database: damage is named and harms nothing else, errors say what to do
opening   opening it, SQLite or PostgreSQL
url       its URL, with passwords hidden
lock      one driver per study
runs      the run store: one file per finished training
paths     the folders and pages beside the database
"""

from typing import Final

MOST_TRIALS: Final = 50_000
"""The most trials that a study may hold: to read them takes ten seconds."""
