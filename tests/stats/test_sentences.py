"""Comparisons in words."""

import pytest

from hpo.stats import ScoreKind, compare_sweep

A = [0.9500, 0.9525, 0.9475, 0.9550, 0.9450]
B = [0.9725, 0.9700, 0.9700, 0.9725, 0.9650]
NOISY = [0.9550, 0.9425, 0.9575, 0.9450, 0.9525]
OWN_UNIT = ScoreKind(direction="minimize", is_share=False)


def test_the_winner_comes_first_with_a_positive_difference_and_interval() -> None:
    expected = "128 beats 32 by 2.0 points (1.7 to 2.3)"
    assert _sentence({32: A, 128: B}) == expected
    assert _sentence({128: B, 32: A}) == expected


def test_a_score_in_its_own_unit_has_three_decimals_and_no_points() -> None:
    assert _sentence({32: A, 128: B}, kind=OWN_UNIT) == "32 beats 128 by 0.020 (0.017 to 0.023)"


def test_an_open_question_says_how_many_repeats_would_answer_it() -> None:
    assert _sentence({32: A, 64: NOISY}) == (
        "no difference between 32 and 64 can be told (-1.2 to +1.3); "
        "about 35 repeats would tell one of 0.5 points"
    )


def test_an_open_question_says_where_no_repeats_would_answer_it() -> None:
    assert _sentence({32: A, 64: NOISY}, overlap=0.25, n_images=1600) == (
        "no difference between 32 and 64 can be told (-1.8 to +1.9); no number of repeats on "
        "these 1,600 images would tell one of 0.5 points, only one above 1.4"
    )


def test_shares_are_told_to_be_no_further_apart_than_shares_can_be() -> None:
    two, others = [0.5, 0.7], [0.7, 0.5]
    assert "(-100.0 to +100.0)" in _sentence({32: two, 64: others})
    assert "(-2.541 to +2.541)" in _sentence({32: two, 64: others}, kind=OWN_UNIT)


def test_without_a_number_of_images_they_are_these_images() -> None:
    assert "no number of repeats on these images" in _sentence({32: A, 64: NOISY}, overlap=0.25)


def test_a_difference_that_was_seen_is_the_one_to_tell() -> None:
    worse = [score - 0.0075 for score in NOISY]
    assert _sentence({32: A, 64: worse}).endswith("would tell one of 0.7 points")


def test_an_interval_narrower_than_half_a_point_asks_for_no_repeats() -> None:
    almost = [0.9500, 0.9525, 0.9475, 0.9550, 0.9475]
    assert _sentence({32: A, 64: almost}) == (
        "no difference between 32 and 64 can be told (-0.2 to +0.3)"
    )


def test_in_its_own_unit_the_size_to_tell_is_a_round_number() -> None:
    assert _sentence({32: A, 64: NOISY}, kind=OWN_UNIT) == (
        "no difference between 32 and 64 can be told (-0.012 to +0.013); "
        "about 35 repeats would tell one of 0.005"
    )


def test_a_small_real_difference_does_not_look_like_zero() -> None:
    a = [i / 1e6 for i in (500_000, 500_010, 500_020, 500_030, 500_040)]
    b = [score + 0.0002 + 1e-6 * (i % 2) for i, score in enumerate(a)]
    assert _sentence({32: a, 64: b}) == "64 beats 32 by 0.02 points (0.02 to 0.02)"


def test_too_few_repeats_say_what_to_do() -> None:
    assert _sentence({32: [0.9], 64: [0.8]}) == (
        "no verdict on 32 and 64: only 1 repeat of both, and it takes two (--repeats 5)"
    )
    assert _sentence({32: [0.9, None], 64: [None, 0.8]}) == (
        "no verdict on 32 and 64: no repeat of both, and it takes two (--repeats 5); "
        "2 repeats without a partner left out"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (32, "32"),
        (0.001, "0.001"),
        (1e-6, "1e-06"),
        (True, "true"),
        ((64, 32), "64-32"),
        ("x", "x"),
    ],
)
def test_values_are_written_as_on_the_command_line(value: object, text: str) -> None:
    assert f" {text} and 2:" in _sentence({value: [0.5, 0.6], 2: [0.5, 0.6]})


def _sentence(scores: dict, **options: object) -> str:
    return compare_sweep(scores, **options).pairs[0].sentence
