"""Training what the experiment is about: random configurations, each with its repeats."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hpo.cli.work import train as follow_to_end
from hpo.run.plan import Plan, SearchSettings, Settings, plan_search
from hpo.run.session import open_session
from hpo.storage.opening import quiet_optuna
from hpo.storage.runs import Run
from hpo.study.gathering import summarize
from hpo.study.summary import Configuration

SPACE: Final = Path(__file__).parent / "space.toml"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One data set of the experiment: how many configurations, how many repeats of each."""

    name: str
    data: Path
    n_configurations: int
    n_repeats: int
    set: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A configuration with the runs of its repeats."""

    configuration: Configuration
    runs: tuple[Run, ...]


def train(part: Part, *, storage: str) -> list[Trained]:
    """Train what is missing; return every configuration whose repeats are all there.

    Raises:
        HpoError: the data or the storage cannot be used.
    """
    with open_session(_plan(part, storage)) as session:
        print(f"{part.name}: {session.source.n_left()} to do", file=sys.stderr, flush=True)
        follow_to_end(session, is_quiet=False)
        summary = summarize(session.study, storage_url=session.storage.url)
    found = []
    for configuration in summary.configurations:
        names = [r.run for r in configuration.repeats if r.state == "complete" and r.run]
        runs = [of_one for name in names if (of_one := session.runs.read(name))]
        if len(runs) >= part.n_repeats:
            found.append(Trained(configuration=configuration, runs=tuple(runs)))
    return found


def _plan(part: Part, storage: str) -> Plan:
    quiet_optuna()
    settings = Settings(
        data=part.data,
        space=str(SPACE),
        set=dict(part.set),
        study=f"scores-{part.name}",
        storage=storage,
        repeats=part.n_repeats,
        lanes=8,
        metric="stress_accuracy",
        command="python -m studies.scores",
    )
    search = SearchSettings(
        trials=part.n_configurations, sampler="random", pruner="none", finalists=0
    )
    return plan_search([], settings, search)
