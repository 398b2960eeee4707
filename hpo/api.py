"""The library's front door: the commands as functions that return records."""

from collections.abc import Sequence

from hpo.events import TrialDone
from hpo.plan import Plan, SearchSettings, Settings, plan_grid, plan_search
from hpo.session import open_session, run
from hpo.storage import open_storage
from hpo.storage_url import DEFAULT_URL
from hpo.study import open_study as find_study
from hpo.summary import StudySummary, summarize, with_call


def grid(names: Sequence[str], settings: Settings | None = None) -> StudySummary:
    """Run the prescribed sweep of one parameter, or every combination of several, to its end.

    Raises:
        HpoError: the request, the data or the storage cannot be used.
    """
    return _finish(plan_grid(names, settings or Settings()))


def search(
    names: Sequence[str] = (),
    settings: Settings | None = None,
    search: SearchSettings | None = None,
) -> StudySummary:
    """Search the space, or the named parameters of it, to the number of trials.

    Raises:
        HpoError: the request, the data or the storage cannot be used.
    """
    return _finish(plan_search(names, settings or Settings(), search))


def open_study(name: str, storage: str = DEFAULT_URL) -> StudySummary:
    """Read a study that is there.

    Raises:
        StudyError: there is none of this name.
        StorageError: the database cannot be read.
    """
    opened = open_storage(storage, create=False)
    return summarize(find_study(opened, name), storage_url=storage)


def _finish(plan: Plan) -> StudySummary:
    with open_session(plan) as session:
        done = [event for event in run(session) if isinstance(event, TrialDone)]
        n_reused = sum(event.is_reused for event in done)
        return with_call(session.summary(), n_trained=len(done) - n_reused, n_reused=n_reused)
