"""What the run store holds of the configurations that are to be evaluated."""

import json
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hpo.errors import RunStoreError, StudyError, fault_list
from hpo.storage.runs import FORMAT, Run, RunStore
from hpo.storage.url import named
from hpo.study.record import LIBRARY
from hpo.study.summary import Configuration, Repeat, StudySummary

_MOST_FAULTS: Final = 10


@dataclass(frozen=True)
class Candidate:
    """A configuration with its complete repeats and their runs, by repeat.

    `name` is what it is called among the others: its parameters, or `#3` in a search, whose
    configurations differ in everything; `verdict_name` its value where there is one parameter.
    """

    name: str
    verdict_name: Hashable
    configuration: Configuration
    repeats: Mapping[int, Repeat]
    runs: Mapping[int, Run]

    @property
    def trials(self) -> tuple[int, ...]:
        """The numbers of its trials, in the order of the repeats."""
        return tuple(repeat.trial for repeat in self.repeats.values())


def gather(summary: StudySummary, runs: RunStore, *, is_all: bool) -> tuple[Candidate, ...]:
    """Return every configuration of a grid, or of a search the winner; with `is_all` every one.

    Those of a search come the best on validation first, and then the bases of the reports that
    were trained beside it.

    Raises:
        StudyError: nothing is complete.
        RunStoreError: files of the run store are missing or cannot be read; all of them are named.
    """
    if summary.record.kind == "grid" or is_all:
        chosen = [c for c in summary.configurations if c.scores]
        if summary.record.kind == "search":
            chosen.sort(key=lambda c: -summary.rank(c))
    else:
        chosen = [summary.best] if summary.best else []
    if not chosen:
        raise StudyError(
            f"No trial of {summary.name} that could be tested is complete. Finish it, then "
            f"evaluate it: hpo resume {named(summary.name, summary.storage)}"
        )
    bases = [base for base in summary.reports if base.configuration.judged]
    faults: list[str] = []
    candidates = [
        *(_candidate(c, _names(c, summary), runs, summary, faults) for c in chosen),
        *(_candidate(b.configuration, (b.name, b.name), runs, summary, faults) for b in bases),
    ]
    if faults:
        raise RunStoreError(_explain(summary, runs.folder, faults))
    return tuple(candidates)


def _names(configuration: Configuration, summary: StudySummary) -> tuple[str, Hashable]:
    if summary.record.kind == "grid":
        return configuration.label, configuration.value
    name = f"#{configuration.number}"
    return name, name


def _candidate(
    configuration: Configuration,
    names: tuple[str, Hashable],
    store: RunStore,
    summary: StudySummary,
    faults: list[str],
) -> Candidate:
    repeats = {r.repeat: r for r in configuration.judged}
    runs = {}
    for number, repeat in repeats.items():
        digest = repeat.run or ""
        run = store.read(digest)
        fault = _fault(store.folder / f"{digest}.json", run, summary.record.data.n_test)
        if fault is None and run is not None:
            runs[number] = run
        else:
            faults.append(f"{configuration.label}, repeat {repeat.number}: {fault}")
    return Candidate(*names, configuration, repeats, runs)


def _fault(path: Path, run: Run | None, n_test: int) -> str | None:
    """Return what is wrong with a file of the run store."""
    if run is None:
        return _reason(path)
    if len(run.test_probabilities) != n_test:
        return f"{path} holds answers to {len(run.test_probabilities)} of {n_test} test images"
    if not all(map(math.isfinite, run.test_probabilities)):
        return f"{path} holds probabilities that are not finite: the training diverged"
    return None


def _reason(path: Path) -> str:
    if not path.is_file():
        return f"{path} is missing"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{path} is damaged"
    if found != FORMAT:
        return f"{path} is of another version of hpo (format {found!r}, this one reads {FORMAT})"
    return f"{path} is damaged"


def _explain(summary: StudySummary, folder: Path, faults: list[str]) -> str:
    hidden = len(faults) - _MOST_FAULTS
    shown = faults[:_MOST_FAULTS] + ([f"and {hidden} more"] if hidden > 0 else [])
    other, command = f"{summary.name[:90]}-again", summary.record.command
    again = f"{command} --study {other}"
    if command == LIBRARY:
        again = f'the same call with Settings(study="{other}", …)'
    return (
        fault_list(f"The test of {summary.name} stays sealed: its answers cannot be read:", shown)
        + f"\nIf the run store lies elsewhere than in {folder}, set HPO_RUNS to it. Otherwise a "
        f"second study trains them anew, the rest comes from the run store: {again}; then "
        f"evaluate {summary.name} once more. Files of another version stay with that version: "
        "evaluate the second study."
    )
