"""The record of test accesses, and its sentences."""

from dataclasses import asdict, replace

import optuna
import pytest

from hpo.errors import StudyError
from hpo.study.test_access import Opening, read_openings, record_opening, statements

FIRST = Opening(
    when="2026-01-02T03:04:05+00:00",
    command="hpo evaluate mine",
    threshold="0.5",
    trials=(0, 1, 2),
    n_complete=6,
)


def test_the_order_of_test_accesses_is_kept_with_old_records_first() -> None:
    study = optuna.create_study()
    assert read_openings(study) == ()
    study.set_user_attr("openings", [asdict(FIRST)])  # Before each had its own attribute.
    second, third = (replace(FIRST, threshold=text) for text in ("youden", "0.4"))
    record_opening(study, second)
    record_opening(study, third)
    assert read_openings(study) == (FIRST, second, third)


def test_a_test_access_is_shown_with_its_time_command_and_later_trials() -> None:
    said = "The test was opened on 2026-01-02 03:04 UTC by `hpo evaluate mine`: 3 trials, "
    assert statements([FIRST], n_complete=6) == [f"{said}threshold 0.5."]
    first, second = statements([FIRST, replace(FIRST, n_complete=9)], n_complete=10)
    assert "4 trials came after it" in first
    assert "1 trial came after it" in second


def test_equal_test_accesses_are_merged_and_long_lists_are_shortened() -> None:
    again = replace(FIRST, when="2026-01-05T06:07:08+00:00")
    other = replace(FIRST, threshold="youden")
    first, second = statements([FIRST, other, again], n_complete=6)
    assert first.startswith("The test was opened 2 times, last on 2026-01-05 06:07 UTC by ")
    assert "threshold youden" in second
    many = [replace(FIRST, command=f"hpo evaluate {i}", n_complete=i) for i in range(9)]
    shown = statements(many, n_complete=6)
    assert (len(shown), shown[1]) == (4, "(6 more openings.)")
    assert "`hpo evaluate 0`" in shown[0]
    assert "`hpo evaluate 8`" in shown[-1]


@pytest.mark.parametrize("damage", [3, [{}], [asdict(FIRST) | {"when": "yesterday"}]])
def test_a_damaged_record_is_reported_with_the_name_of_the_study(damage: object) -> None:
    for name in ("openings", "opening:000000:1"):
        study = optuna.create_study(study_name="mine")
        study.set_user_attr(name, damage)
        with pytest.raises(StudyError, match=r"the study mine is damaged\. .* hpo delete mine"):
            read_openings(study)
