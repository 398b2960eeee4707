"""Signs of a broken model: said where they are, silent where all is well."""

from pathlib import Path

import numpy as np
import pytest

from hpo.runs import Epoch, Run, RunStore
from hpo.signs import (
    better_than_training,
    collapsed,
    configuration_signs,
    no_better_than_majority,
    one_sided,
    study_signs,
)
from hpo.study_record import Goal
from hpo.summary import summarize
from tests.clocked_studies import Bench, record

N = 400


def run(
    validation: float = 0.95,
    *,
    while_training: float = 0.95,
    alike: float = 0.96,
    low: float = 0.01,
    high: float = 0.99,
    n: int = N,
    auroc: float = 0.6,
) -> Run:
    """Return a run with these accuracies, and probabilities evenly between two bounds."""
    return Run(
        epochs=(
            Epoch(
                learning_rate=1e-3,
                train={"accuracy": while_training},
                validation={"accuracy": validation, "auroc": auroc},
            ),
        ),
        kept_epoch=1,
        train={"accuracy": alike},
        validation_probabilities=tuple(map(float, np.linspace(low, high, n))),
        test_probabilities=(),
        seconds=1.0,
        versions={},
    )


def test_a_sound_configuration_has_no_signs() -> None:
    assert configuration_signs({i: run(0.94 + 0.01 * i) for i in range(3)}, majority=0.5) == ()


def test_a_sigmoid_applied_twice_is_named() -> None:
    twice = 1 / (1 + np.exp(-np.linspace(0.001, 1, N)))
    first, second = one_sided({0: twice}, images="test")
    assert "In the one repeat no probability on test images leaves the upper half" in first
    assert "0.500 to 0.731. A sigmoid applied twice does that" in first
    assert second == "In the one repeat every test image is called pneumonia."


@pytest.mark.parametrize(("low", "high"), [(0.55, 0.9), (0.1, 0.4)])
def test_one_half_alone_is_not_a_sigmoid_applied_twice(low: float, high: float) -> None:
    text = " ".join(one_sided({0: np.linspace(low, high, N)}, images="test"))
    assert f"leaves the {'upper' if low > 0.5 else 'lower'} half: {low:.3f} to {high:.3f}." in text
    assert "sigmoid" not in text
    assert f"called {'pneumonia' if low > 0.5 else 'normal'}" in text


def test_one_class_at_another_threshold_is_told_without_a_half() -> None:
    found = list(one_sided({0: np.linspace(0.3, 0.7, N)}, images="test", thresholds={0: 0.2}))
    assert found == ["In the one repeat every test image is called pneumonia."]
    assert list(one_sided({0: np.linspace(0.3, 0.7, N)}, images="test")) == []


def test_one_half_with_a_threshold_inside_it_calls_no_single_class() -> None:
    found = list(one_sided({0: np.linspace(0.6, 0.9, N)}, images="test", thresholds={0: 0.75}))
    assert len(found) == 1
    assert "upper half" in found[0]


def test_the_repeats_in_question_are_counted_from_one() -> None:
    sound, stuck = np.linspace(0, 1, N), np.linspace(0.1, 0.4, N)
    answers = {0: sound, 1: stuck, 2: stuck, 3: sound, 4: stuck}
    assert "In repeats 2, 3 and 5 of 5 " in next(one_sided(answers, images="test"))
    assert "In repeat 2 of 2 " in next(one_sided({0: sound, 1: stuck}, images="test"))
    assert "In both repeats " in next(one_sided({0: stuck, 1: stuck}, images="test"))
    assert "In all 3 repeats " in next(one_sided(dict.fromkeys(range(3), stuck), images="test"))


def test_validation_above_training_because_of_dropout_is_explained() -> None:
    (sentence,) = better_than_training({0: run(0.93, while_training=0.73, alike=0.95)})
    assert "validation (93.0 %) looks far better than training (73.0 %) only because" in sentence
    assert "measured alike, training is 95.0 %" in sentence


def test_validation_above_training_measured_alike_is_strange() -> None:
    (sentence,) = better_than_training({0: run(0.93, while_training=0.8, alike=0.82)})
    assert "(93.0 %) is far better than training (82.0 %) even measured alike" in sentence
    assert "hpo data audit" in sentence


@pytest.mark.parametrize(
    "sound",
    [
        run(0.93, while_training=0.90, alike=0.95),
        run(0.93, while_training=0.99, alike=0.99),
        run(0.93, while_training=0.80, alike=0.95, n=16),
    ],
    ids=["a little", "training above", "within the noise of few images"],
)
def test_small_or_noisy_differences_are_no_sign(sound: Run) -> None:
    assert list(better_than_training({0: sound})) == []


def test_a_score_of_the_majority_baseline_is_said() -> None:
    (sentence,) = no_better_than_majority({0: run(0.74), 1: run(0.9), 2: run(0.7)}, 0.74)
    assert sentence.startswith("In repeats 1 and 3 of 3 the validation accuracy (74.0 %) is no")
    assert list(no_better_than_majority({0: run(0.74 + 1 / N)}, 0.74)) == []


def test_collapsed_repeats_are_named_with_their_scores() -> None:
    first, second = collapsed({0: run(0.95), 1: run(0.6), 2: run(0.9), 3: run(0.55)}, 0.5)
    assert first.startswith("Repeat 2 of 4 (60.0 %) collapsed: nearer to the majority class (50.0")
    assert second.startswith("Repeat 4 of 4 (55.0 %) collapsed")
    assert "best repeat (95.0 %)" in first


def test_a_repeat_that_ranks_well_has_not_collapsed() -> None:
    (sentence,) = collapsed({0: run(0.95), 1: run(0.6, auroc=0.97)}, 0.5)
    assert sentence.startswith("Repeat 2 of 2 (60.0 %) is nearer")
    assert "yet ranks well (AUROC 0.970): its threshold is off" in sentence


def test_of_a_model_that_learned_nothing_validation_is_not_called_better() -> None:
    stuck = {0: run(0.46, while_training=0.35, alike=0.35)}
    assert list(better_than_training(stuck))
    assert list(better_than_training(stuck, least=0.5)) == []
    assert "better than training" not in " ".join(configuration_signs(stuck, majority=0.5))


@pytest.mark.parametrize(
    "scores", [(0.95, 0.94, 0.9), (0.55, 0.51, 0.5), (0.95,), (0.5, 0.5, 0.5)]
)
def test_repeats_that_agree_have_not_collapsed(scores: tuple[float, ...]) -> None:
    assert list(collapsed({i: run(score) for i, score in enumerate(scores)}, 0.5)) == []


def test_without_a_known_majority_the_rest_is_still_said() -> None:
    stuck = run(0.5, low=0.1, high=0.4)
    assert "lower half" in " ".join(configuration_signs({0: stuck}, majority=None))
    assert "commonest" not in " ".join(configuration_signs({0: stuck}, majority=None))
    assert "commonest" in " ".join(configuration_signs({0: stuck}, majority=0.5))


def test_a_run_without_accuracies_has_no_signs() -> None:
    bare = Run(
        epochs=(Epoch(learning_rate=1e-3, train={}, validation={}),),
        kept_epoch=1,
        train={},
        validation_probabilities=(),
        test_probabilities=(),
        seconds=1.0,
        versions={},
    )
    assert configuration_signs({0: bare}, majority=0.5) == ()


def test_every_cell_of_a_grid_is_looked_at_and_of_a_search_the_best(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    grid = bench.study(record(), "grid")
    bench.train(grid, Goal(2))
    found = study_signs(summarize(grid, storage_url="sqlite:///hpo.db"), bench.runs)
    # The clocked engine gives every image the same probability.
    assert [sign.partition(":")[0] for sign in found[:1]] == ["batch_size 16"]
    assert {sign.partition(":")[0] for sign in found} == {f"batch_size {n}" for n in (16, 32, 64)}
    search = bench.study(record("search", "learning_rate", "scheduler", "step_size"), "search")
    bench.train(search, Goal(1, 4))
    summary = summarize(search, storage_url="sqlite:///hpo.db")
    assert summary.best is not None
    of_best = study_signs(summary, bench.runs)
    assert of_best
    assert all(sign.startswith(summary.best.label) for sign in of_best)
    assert study_signs(summary, RunStore(tmp_path / "nothing")) == ()
