"""What a report claims, as data, and what becomes of it by the evidence."""

from collections.abc import Sequence

import pytest

from hpo import space
from hpo.stats import Interval, PairComparison
from studies.results.claims import (
    CONVERGENCE,
    GAP,
    MEASURES,
    NOT_SEEN,
    OPEN,
    SEEN,
    TEST,
    VALIDATION,
    Above,
    Alike,
    Better,
    Claim,
    Evidence,
    Measure,
    Part,
    check,
)
from studies.results.reports import SWEEPS, Sweep


def pair(low: float, high: float, *, is_real: bool) -> PairComparison:
    """Return the comparison of b minus a."""
    return PairComparison(
        a="a",
        b="b",
        difference=(low + high) / 2,
        low=low,
        high=high,
        p_value=0.01 if is_real else 0.5,
        is_real=is_real,
        n_pairs=5,
        sentence="what was found",
    )


def outcome(part: Part, measure: Measure, found: PairComparison) -> str:
    evidence = Evidence(pairs={measure.name: [found]}, values={})
    return check(Claim("claimed", (part,)), evidence).outcome


class TestClaims:
    @pytest.mark.parametrize(
        ("low", "high", "is_real", "of_b", "of_a"),
        [
            (0.002, 0.030, True, SEEN, NOT_SEEN),
            (-0.030, -0.002, True, NOT_SEEN, SEEN),
            (-0.020, 0.030, False, OPEN, OPEN),
            (-0.004, 0.006, False, NOT_SEEN, NOT_SEEN),
            (-0.030, 0.009, False, NOT_SEEN, OPEN),
        ],
    )
    def test_a_difference_is_seen_if_real_and_not_seen_if_none_that_matters_has_room(
        self, low: float, high: float, is_real: bool, of_b: str, of_a: str
    ) -> None:
        found = pair(low, high, is_real=is_real)
        assert outcome(Better(TEST, "b", "a"), TEST, found) == of_b
        assert outcome(Better(TEST, "a", "b"), TEST, found) == of_a

    def test_fewer_epochs_to_converge_are_better(self) -> None:
        found = pair(3.0, 9.0, is_real=True)
        assert outcome(Better(CONVERGENCE, "a", "b"), CONVERGENCE, found) == SEEN
        assert outcome(Better(CONVERGENCE, "b", "a"), CONVERGENCE, found) == NOT_SEEN

    @pytest.mark.parametrize(
        ("low", "high", "is_real", "expected"),
        [
            (-0.005, 0.004, False, SEEN),
            (0.001, 0.008, True, SEEN),
            (-0.020, 0.004, False, OPEN),
            (0.002, 0.030, True, NOT_SEEN),
        ],
    )
    def test_values_are_alike_within_the_margin(
        self, low: float, high: float, is_real: bool, expected: str
    ) -> None:
        found = pair(low, high, is_real=is_real)
        assert outcome(Alike(VALIDATION, "a", "b"), VALIDATION, found) == expected

    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [(0.02, 0.05, SEEN), (-0.02, 0.005, NOT_SEEN), (0.005, 0.05, OPEN), (None, None, OPEN)],
    )
    def test_an_amount_is_seen_above_and_not_seen_below(
        self, low: float | None, high: float | None, expected: str
    ) -> None:
        evidence = Evidence(pairs={}, values={GAP.name: {"a": Interval(0.02, low, high, None, 5)}})
        claim = Claim("overfits", (Above(GAP, "a", 0.01),))
        assert check(claim, evidence).outcome == expected

    def test_all_parts_must_be_seen_and_one_that_is_not_decides(self) -> None:
        found = [pair(0.002, 0.03, is_real=True), pair(-0.02, 0.03, is_real=False)]
        evidence = Evidence(pairs={TEST.name: found[:1], VALIDATION.name: found[1:]}, values={})
        seen, open_ = Better(TEST, "b", "a"), Better(VALIDATION, "b", "a")
        wrong = Better(TEST, "a", "b")
        assert check(Claim("", (seen,)), evidence).outcome == SEEN
        assert check(Claim("", (seen, open_)), evidence).outcome == OPEN
        assert check(Claim("", (seen, open_, wrong)), evidence).outcome == NOT_SEEN

    def test_without_evidence_nothing_can_be_told(self) -> None:
        verdict = check(Claim("", (Better(TEST, "b", "a"),)), Evidence(pairs={}, values={}))
        assert verdict.outcome == OPEN
        assert verdict.grounds == ("test accuracy: nothing is known of b and a",)

    def test_the_same_answers_leave_no_room_for_a_difference(self) -> None:
        same = PairComparison("a", "b", 0.0, None, None, 1.0, False, 5, "the same answers")
        assert outcome(Better(TEST, "b", "a"), TEST, same) == NOT_SEEN
        assert outcome(Alike(TEST, "b", "a"), TEST, same) == SEEN


class TestReports:
    def test_every_sweep_of_the_space_files_is_there_once(self) -> None:
        spaces = [name for name in space.space_names() if name.startswith("report_")]
        shipped = [f"{name}:{sweep}" for name in spaces for sweep in space.load_space(name).sweeps]
        assert sorted(sweep.key for sweep in SWEEPS) == sorted(shipped)
        assert len(SWEEPS) == 16

    @pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.key)
    def test_claims_and_figures_are_of_values_that_are_swept(self, sweep: Sweep) -> None:
        labels = set(space.load_space(sweep.space).sweeps[sweep.name].labels)
        assert set(sweep.figures) <= labels
        parts = [part for claim in sweep.claims for part in claim.parts]
        named = {value for part in parts for value in _values(part)}
        assert named <= labels
        assert {part.measure for part in parts} <= set(MEASURES)


def _values(part: Part) -> Sequence[object]:
    if isinstance(part, Above):
        return [part.value]
    return [part.a, part.b] if isinstance(part, Alike) else [part.better, part.worse]
