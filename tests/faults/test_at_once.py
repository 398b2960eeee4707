"""Two commands that make the same study at once: one of them drives it."""

import time
from dataclasses import dataclass
from typing import Any

from tests.faults.studies import Study
from tests.processes import said


@dataclass(frozen=True)
class Together:
    """A process that begins its work on the study at a given time, as another does."""

    when: float

    def __call__(self) -> None:
        import hpo.run.session

        open_storage = hpo.run.session.open_storage

        def opened(*arguments: Any, **options: Any) -> Any:
            storage = open_storage(*arguments, **options)
            time.sleep(max(0.0, self.when - time.time()))
            return storage

        hpo.run.session.open_storage = opened


def test_of_two_commands_that_make_the_same_study_at_once_one_trains_it(
    study: Study, undisturbed: Any
) -> None:
    for _ in range(3):
        together = Together(time.time() + 3)
        both = [study.start(*study.grid, fault=together) for _ in range(2)]
        first, second = sorted((started.answer() for started in both), key=lambda a: a.code)
        assert first.code == 0
        if second.code:  # Else it came when the first was done.
            said(second, "The study mine is in use by process", "hpo show mine")
        assert study.train().code == 0
        assert len(study.scores()) == 2  # asserts too that none is there twice
        assert study.shown() == undisturbed
        assert study.call("delete", "mine", "--yes").code == 0
