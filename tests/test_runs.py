"""The run store: what is kept, what is found again, what counts as absent."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hpo.config import TrainingConfig
from hpo.errors import OutputError
from hpo.storage.runs import RunKey, RunStore
from hpo.training.engine import Epoch, Run

KEY = RunKey(
    config=TrainingConfig(),
    seed=0,
    fold=0,
    fingerprint="f" * 32,
    device_type="cpu",
    precision="bf16",
)
RUN = Run(
    epochs=(
        Epoch(learning_rate=1e-3, train={"loss": 0.1 + 0.2}, validation={"accuracy": 1 / 3}),
        Epoch(learning_rate=1e-4, train={"loss": 0.2}, validation={"accuracy": float("nan")}),
    ),
    kept_epoch=1,
    train={"accuracy": 0.9},
    validation_probabilities=(0.1, 0.7),
    test_probabilities=(0.3,),
    seconds=1.5,
    versions={"torch": "2"},
    validation_images=(0, 3),
    validation_labels=(1, 0),
    validation_patients=(7, 7),
)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def test_a_run_round_trips_to_the_bit(store: RunStore) -> None:
    assert store.read(KEY.digest()) is None
    assert not store.has(KEY)
    store.save(KEY, RUN)
    found = store.read(KEY.digest())
    assert found is not None
    assert repr(found) == repr(RUN)
    assert found.kept.validation["accuracy"] == 1 / 3
    of_three = replace(RUN, test_probabilities=((0.1, 0.2, 0.7), (1 / 3, 1 / 3, 1 / 3)))
    store.save(KEY, of_three)
    assert repr(store.read(KEY.digest())) == repr(of_three)


def test_stress_metrics_of_another_battery_are_left_out(store: RunStore) -> None:
    changed = {"shifted": {"accuracy": 0.5}}
    first = replace(RUN.epochs[0], stress={"accuracy": 0.5})
    run = replace(RUN, stress=changed, epochs=(first, RUN.epochs[1]))
    store.save(KEY, run)
    assert repr(store.read(KEY.digest())) == repr(run)
    document = json.loads(store.path(KEY).read_text())
    store.path(KEY).write_text(json.dumps(document | {"battery": 1}))
    assert repr(store.read(KEY.digest())) == repr(RUN)


def test_everything_that_affects_the_numbers_is_in_the_key() -> None:
    others = {"seed": 1, "fold": 1, "fingerprint": "e" * 32, "device_type": "cuda"}
    others |= {"precision": "fp32", "config": KEY.config.replace(batch_size=64)}
    for name, value in others.items():
        assert replace(KEY, **{name: value}).digest() != KEY.digest(), name


def test_a_damaged_file_counts_as_missing_until_it_is_replaced(store: RunStore) -> None:
    for content in (b'{"format": 1, "epo', b'{"format": 1}', b'{"format": 99}', b"[" * 100_000):
        store.save(KEY, RUN)
        store.path(KEY).write_bytes(content)
        assert store.read(KEY.digest()) is None
    # The results of another training, or values that are no probabilities.
    other = replace(KEY, seed=1)
    store.save(other, RUN)
    store.path(KEY).write_bytes(store.path(other).read_bytes())
    assert store.read(KEY.digest()) is None
    store.save(KEY, replace(RUN, test_probabilities=(7.0,)))
    assert store.read(KEY.digest()) is None
    store.save(KEY, RUN)
    assert store.read(KEY.digest()) is not None
    store.path(KEY).unlink()
    os.mkfifo(store.path(KEY))  # It is not waited for.
    assert store.read(KEY.digest()) is None


@pytest.mark.parametrize("prefix", ["../", "sub/", "x\0"])
def test_a_recorded_name_cannot_leave_the_store(store: RunStore, prefix: str) -> None:
    store.save(KEY, RUN)
    assert store.read(KEY.digest()) is not None
    assert RunStore(store.folder / "inner").read(f"{prefix}{KEY.digest()}") is None


def test_a_read_only_store_is_reported_before_anything_is_saved(
    store: RunStore, tmp_path: Path
) -> None:
    store.check_writable()
    assert list(store.folder.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot be written: .* HPO_RUNS"):
        RunStore(tmp_path / "file").check_writable()
