"""A small grid whose commands run in their own processes, and its results."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.conftest import SMALL, Answer
from tests.processes import Fault, call

MINE: Final = ("--study", "mine")

# The score by the ordinal of the configuration and the repeat.
Scores = dict[tuple[int, int], float]


@dataclass(frozen=True)
class Study:
    """Two configurations with one repeat each, in their own folder."""

    folder: Path
    data: Path

    @property
    def home(self) -> Path:
        """The folder of all studies."""
        return self.folder / "studies"

    def call(self, *arguments: object, fault: Fault | None = None) -> Answer:
        """Run a command in the folder until it exits."""
        return call(self.folder, arguments, fault)

    @property
    def grid(self) -> tuple[object, ...]:
        """The command that trains it."""
        values = ("--values", "8,16", "--repeats", "1")
        return ("grid", "--param", "batch_size", *values, *SMALL, "--data", self.data, *MINE)

    def train(self, *, fault: Fault | None = None) -> Answer:
        """Train it completely."""
        return self.call(*self.grid, fault=fault)

    def scores(self) -> Scores:
        """Return the score of every complete trial, and check that none is duplicated."""
        with closing(sqlite3.connect(self.home / "hpo.db")) as database:
            rows = database.execute(_COMPLETE).fetchall()
        found = [((int(ordinal), int(repeat)), score) for ordinal, repeat, score in rows]
        assert len(found) == len(dict(found)), found
        return dict(found)

    def shown(self) -> Any:
        """Return the output of `hpo show --json` without what differs between two calls."""
        document = self.call("show", "mine", "--json").json
        document["begun"] = ""
        document["answer"].update(purpose="", command="")  # A time, and the folder.
        for configuration in document["configurations"]:
            for repeat in configuration["repeats"]:
                repeat.update(trial=0, seconds=0, is_reused=False)
        return json.loads(json.dumps(document))


_COMPLETE: Final = """
    SELECT ordinal.value_json, repeat.value_json, trial_values.value FROM trials
    JOIN trial_values USING (trial_id)
    JOIN trial_user_attributes AS ordinal ON ordinal.trial_id = trials.trial_id
    JOIN trial_user_attributes AS repeat ON repeat.trial_id = trials.trial_id
    WHERE state = 'COMPLETE' AND ordinal.key = 'ordinal' AND repeat.key = 'repeat'
"""
