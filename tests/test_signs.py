"""Signs of a broken model: said where they are, silent where all is well."""

from pathlib import Path

import numpy as np
import pytest

from hpo.evaluate.checks import Training, one_answer, signs, study_signs
from hpo.storage.runs import Epoch, Run, RunStore
from hpo.study.gathering import summarize
from hpo.study.record import Goal
from tests.clocked_studies import Bench, record
from tests.conftest import SMALL, Hpo

N = 400


def run(
    validation: float = 0.95,
    *,
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
                train={"accuracy": 0.7},
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


def said(*runs: Run, majority: float | None = 0.5, name: str = "") -> list[str]:
    """Return what is said of the repeats of one configuration."""
    trainings = [Training(name, i, one) for i, one in enumerate(runs, start=1)]
    return list(signs(trainings, majority=majority))


def test_a_sound_configuration_has_no_signs() -> None:
    assert said(*(run(0.94 + 0.01 * i) for i in range(3))) == []


@pytest.mark.parametrize(("low", "high"), [(0.505, 0.517), (0.55, 0.9), (0.1, 0.4)])
def test_one_answer_for_all_images_is_said_once_without_guessing_why(
    low: float, high: float
) -> None:
    (sentence,) = said(run(0.5, low=low, high=high), run(0.5, low=low, high=high))
    called = "pneumonia" if low > 0.5 else "normal"
    assert sentence == (
        f"Every validation image is called {called} (probabilities {low:.3f} to {high:.3f}): "
        "repeats 1 and 2."
    )


def test_one_answer_depends_on_the_threshold_of_each_training() -> None:
    training = Training("", 3, run())
    found = one_answer(
        {training: tuple(np.linspace(0.3, 0.7, N))}, images="test", thresholds={training: 0.2}
    )
    assert list(found) == [
        "Every test image is called pneumonia (probabilities 0.300 to 0.700): repeat 3."
    ]
    answers = {training: tuple(np.linspace(0.6, 0.9, N))}
    assert not list(one_answer(answers, images="test", thresholds={training: 0.75}))


def test_every_check_is_one_line_that_names_configurations_and_repeats() -> None:
    stuck = run(0.5, low=0.1, high=0.4)
    trainings = [Training(f"batch_size {b}", n, stuck) for b in range(9) for n in (1, 2, 3)]
    (sentence,) = signs(trainings, majority=0.5)
    assert "batch_size 0 (repeats 1, 2 and 3), batch_size 1 (repeats 1, 2 and 3)" in sentence
    assert sentence.endswith("and 3 more configurations.")


@pytest.mark.parametrize("n_right", [14, 15, 16])
def test_few_images_all_right_are_no_sign_of_images_trained_on(n_right: int) -> None:
    assert said(run(n_right / 16, alike=0.82, n=16)) == []


def test_validation_above_training_is_said_with_the_chance_of_a_false_alarm() -> None:
    (sentence,) = said(run(0.93, alike=0.82))
    assert "Validation (93.0 %) is far better than training (mean 82.0 %, without" in sentence
    assert "hpo data audit" in sentence
    assert "by chance that happens in less than 0.1 % of such studies" in sentence
    (rarely,) = said(run(72 / 80, alike=0.78, n=80))
    assert "by chance that happens in 0.4 % of such studies" in rarely


def test_the_more_trainings_are_looked_at_the_rarer_a_sign_has_to_be() -> None:
    lucky = run(72 / 80, alike=0.78, n=80)
    assert said(lucky)
    assert said(*([lucky] + [run(0.95, n=80)] * 5)) == []


def test_a_score_of_the_majority_baseline_is_said() -> None:
    (sentence,) = said(run(0.74), run(0.78), run(0.7), majority=0.74)
    assert "(70.0 to 74.0 %) is no better than always answering the commonest class" in sentence
    assert "repeats 1 and 3" in sentence
    assert "10 points better would score so low by chance in less than 0.1 %" in sentence
    assert said(run(0.74 + 1 / N), majority=0.74) == []
    # Of 16 images a sound network may well get half wrong.
    assert said(run(0.5, n=16)) == []


def test_collapsed_repeats_are_named_with_their_scores() -> None:
    (sentence,) = said(run(0.95), run(0.6), run(0.9), run(0.55))
    assert sentence.startswith("Training collapsed: repeats 2 and 4, with an accuracy of 55.0 to")
    assert "by chance in less than 0.1 % of such studies" in sentence
    assert said(run(1.0, n=16), run(12 / 16, n=16)) == []


def test_a_repeat_that_ranks_well_has_not_collapsed() -> None:
    (sentence,) = said(run(0.95), run(0.6, auroc=0.97))
    assert "The threshold of 0.5 does not fit, although the AUROC is above 0.8" in sentence
    assert "repeat 2" in sentence


def test_of_a_model_that_learned_nothing_validation_is_not_called_better() -> None:
    assert "better than training" not in " ".join(said(run(0.46, alike=0.35)))


@pytest.mark.parametrize("scores", [(0.95, 0.94, 0.9), (0.63, 0.61, 0.6), (0.95,)])
def test_repeats_that_agree_have_not_collapsed(scores: tuple[float, ...]) -> None:
    assert said(*map(run, scores)) == []


def test_without_a_known_majority_the_rest_is_still_said() -> None:
    stuck = run(0.5, low=0.1, high=0.6)
    assert said(stuck, majority=None) == []
    assert "commonest" in " ".join(said(stuck))


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
    assert said(bare) == []


def test_networks_of_one_epoch_are_not_said_to_apply_a_sigmoid_twice(
    hpo: Hpo, xrays: Path
) -> None:
    answer = hpo(
        *("grid", "--param", "batch_size", "--values", "8,16,32", "--repeats", "2", *SMALL),
        *("--epochs", "1", "--set", "learning_rate=0.000001", "--data", xrays, "--study", "s"),
    )
    warnings = [line for line in answer.out.splitlines() if line.startswith("Warning:")]
    assert len(warnings) <= 4
    assert len({line.split(":")[1][:25] for line in warnings}) == len(warnings)
    assert (
        "sigmoid" not in answer.out + Path("studies/s/report.html").read_text().split("<script")[0]
    )


def test_every_cell_of_a_grid_is_looked_at_and_of_a_search_the_best(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    grid = bench.study(record(), "grid")
    bench.train(grid, Goal(2))
    found = study_signs(summarize(grid, storage_url="sqlite:///hpo.db"), bench.runs)
    # The clocked engine gives every image the same probability.
    assert all(f"batch_size {n} (repeats 1 and 2)" in found[0] for n in (16, 32, 64))
    search = bench.study(record("search", "learning_rate", "scheduler", "step_size"), "search")
    bench.train(search, Goal(1, 4))
    summary = summarize(search, storage_url="sqlite:///hpo.db")
    assert summary.best is not None
    of_best = study_signs(summary, bench.runs)
    assert of_best
    assert all(f"#{summary.best.number} (repeat 1)" in sign for sign in of_best)
    assert study_signs(summary, RunStore(tmp_path / "nothing")) == ()
