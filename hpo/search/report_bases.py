"""The reports' five bases, trained beside a search to see it next to them.

They are not told to the sampler: most cannot be expressed in the ranges.
"""

from typing import Final

from hpo import space as spaces
from hpo.search.job import Job, first_repeat, further_repeat
from hpo.study.record import Goal, StudyRecord

REPORTS: Final = ("report_a", "report_b", "report_c", "report_d", "report_e")


def report_jobs(record: StudyRecord, goal: Goal) -> list[Job]:
    """Return the trainings of the bases: the same repeats as those of the finalists.

    Their ordinals are below 0, so that they count as no configuration of the search.
    """
    if not goal.with_baselines:
        return []
    bases = [
        first_repeat(
            record, ordinal=-place, params={}, config=spaces.load_space(name).base, report=name
        )
        for place, name in enumerate(REPORTS, start=1)
    ]
    return [
        further_repeat(job, repeat, record=record)
        for job in bases
        for repeat in goal.fresh_repeats
    ]
