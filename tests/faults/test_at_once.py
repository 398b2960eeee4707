"""Two commands that make the same study at once train every repeat once."""

import time
from dataclasses import dataclass
from typing import Any

from tests.faults.studies import Study


@dataclass(frozen=True)
class Together:
    """A process that begins its work on the study at a given time, as another does."""

    when: float

    def __call__(self) -> None:
        import hpo.session

        open_storage = hpo.session.open_storage

        def opened(*arguments: Any, **options: Any) -> Any:
            storage = open_storage(*arguments, **options)
            time.sleep(max(0.0, self.when - time.time()))
            return storage

        hpo.session.open_storage = opened


def test_two_commands_that_make_the_same_study_at_once_train_each_repeat_once(
    study: Study, undisturbed: Any
) -> None:
    for _ in range(3):
        together = Together(time.time() + 3)
        both = [study.start(*study.grid, fault=together) for _ in range(2)]
        assert [started.answer().code for started in both] == [0, 0]
        assert study.train().code == 0
        assert len(study.scores()) == 2  # asserts too that none is there twice
        assert study.shown() == undisturbed
        assert study.call("delete", "mine", "--yes").code == 0
