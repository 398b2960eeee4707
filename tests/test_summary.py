"""A study by configuration: means over repeats, never the luckiest trial."""

from pathlib import Path

import optuna
import pytest

from hpo.study_record import Goal
from hpo.summary import StudySummary, summarize, summarize_all, to_document
from tests.clocked_studies import Bench, record


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def read(study: optuna.Study) -> StudySummary:
    return summarize(study, storage_url="postgresql://me:secret@host/db")


def test_a_configuration_has_the_mean_and_interval_of_its_repeats(bench: Bench) -> None:
    study = bench.study(record())
    bench.train(study, Goal(3))
    first = read(study).configurations[0]
    assert first.score is not None
    assert first.score.mean == pytest.approx(sum(first.scores) / 3)
    assert first.score.low is not None
    assert first.score.high is not None
    assert first.score.low < first.score.mean < first.score.high
    assert [r.repeat for r in first.repeats] == [0, 1, 2]


def test_one_repeat_has_no_interval(bench: Bench) -> None:
    study = bench.study(record())
    bench.train(study, Goal(1))
    document = to_document(read(study))
    assert document["configurations"][0]["low"] is None
    assert document["configurations"][0]["score"] is not None


def test_an_interval_of_a_share_ends_at_one(bench: Bench) -> None:
    study = bench.study(record())
    bench.train(study, Goal(2))
    for configuration in read(study).configurations:
        assert configuration.score is not None
        assert configuration.score.high is not None
        assert configuration.score.high <= 1.0


def test_a_grid_stands_in_its_prescribed_order_and_counts_a_retried_repeat_once(
    bench: Bench,
) -> None:
    study = bench.study(record("grid", "learning_rate"))
    for _ in range(3):
        bench.train(study, Goal(1))
    summary = read(study)
    assert len(study.trials) == 4
    assert [c.params["learning_rate"] for c in summary.configurations] == [1e-3, 10.0]
    assert [len(c.repeats) for c in summary.configurations] == [1, 1]
    assert [c.state for c in summary.configurations] == ["complete", "failed"]
    assert summary.best is summary.configurations[0]


def test_a_configuration_without_all_its_repeats_is_not_the_best(bench: Bench) -> None:
    study = bench.study(record())
    events = bench.events(study, Goal(2))
    for _ in range(3 * 3 + 2):
        next(events)
    states = [c.state for c in read(study).configurations]
    assert states[0] == "complete"
    assert set(states[1:]) <= {"running", "waiting"}
    best = read(study).best
    assert best is not None
    assert best.params == {"batch_size": 16}


def test_a_password_is_in_no_document(bench: Bench) -> None:
    study = bench.study(record())
    assert "secret" not in str(to_document(read(study)))


def test_studies_of_other_programs_are_counted_and_left_out(bench: Bench) -> None:
    bench.study(record(), "ours")
    optuna.create_study(study_name="theirs", storage=bench.storage.optuna)
    summaries, n_foreign = summarize_all(bench.storage)
    assert ([s.name for s in summaries], n_foreign) == (["ours"], 1)
