"""hpo reproduce, as a user types it: a trial is trained again and compared."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo import cores, grid
from hpo.run.plan import Settings
from tests.conftest import SIZE, SMALL, Hpo, make_images

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "2", *SMALL)


@pytest.fixture
def _mine(hpo: Hpo, xrays: Path) -> None:
    """A finished grid of four trials called mine."""
    hpo(*GRID, "--data", xrays, "--study", "mine")


def edit_run(change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the run file of trial 0."""
    path = Path("studies/runs") / f"{load('mine').trials[0].user_attrs['run']}.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def add_like(
    trial: FrozenTrial, state: TrialState, attributes: dict[str, Any], **told: Any
) -> None:
    """Add a trial with the parameters of another to the study mine."""
    load("mine").add_trial(
        create_trial(
            state=state,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=attributes,
            **told,
        )
    )


def load(name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage="sqlite:///studies/hpo.db")


def stored() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("studies/runs").iterdir()}


@pytest.mark.usefixtures("_mine")
def test_a_trial_is_equal_to_the_last_bit_and_nothing_is_written(hpo: Hpo) -> None:
    before = stored()
    for trial in (0, 3):
        answer = hpo("reproduce", "mine", "--trial", trial)
        assert answer.code == 0
        assert "equal. All" in answer.out
    document = hpo("reproduce", "mine", "--trial", 1, "--json").json
    assert document["result"] == "equal"
    assert document["n_equal"] == document["n_numbers"] > 40
    assert document["score"]["recorded"] == document["score"]["now"]
    assert stored() == before
    assert len(load("mine").trials) == 4


@pytest.mark.usefixtures("_mine")
def test_a_changed_record_is_different_and_it_is_said_where(hpo: Hpo) -> None:
    path = edit_run(lambda run: run["epochs"][1]["validation"].update(loss=0.5))
    altered = path.read_bytes()
    answer = hpo("reproduce", "mine", "--trial", 0, "--json")
    assert answer.code == 1
    assert answer.json["result"] == "different"
    assert (answer.json["begins"]["epoch"], answer.json["begins"]["metric"]) == (
        2,
        "validation loss",
    )
    assert (
        "different, from the validation loss of epoch 2 on"
        in hpo("reproduce", "mine", "--trial", 0).out
    )
    assert path.read_bytes() == altered


@pytest.mark.usefixtures("_mine")
def test_small_differences_and_another_torch_are_rounding(hpo: Hpo) -> None:
    def change(run: dict[str, Any]) -> None:
        run["epochs"][0]["train"]["loss"] += 1e-6
        run["versions"]["torch"] = "2.0.0"

    edit_run(change)
    answer = hpo("reproduce", "mine", "--trial", 0, "--json")
    assert answer.code == 0
    assert answer.json["result"] == "equal_within_rounding"
    assert answer.json["largest"]["metric"] == "training loss"
    assert "torch 2.0.0 then" in answer.json["changes"][0]


@pytest.mark.usefixtures("_mine")
def test_another_processor_is_named(hpo: Hpo, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hpo("reproduce", "mine", "--trial", 0, "--json").json["changes"] == []
    recorded = cores.processor()
    monkeypatch.setattr(cores, "processor", lambda: "Abacus 3000")
    changes = hpo("reproduce", "mine", "--trial", 0, "--json").json["changes"]
    assert changes == [f"processor {recorded} then, Abacus 3000 now"]


@pytest.mark.usefixtures("_mine")
def test_another_precision_is_named(hpo: Hpo) -> None:
    recorded = load("mine").user_attrs["hpo"]["precision"]
    other = "fp32" if recorded == "bf16" else "bf16"
    document = hpo("reproduce", "mine", "--trial", 0, "--precision", other, "--json").json
    assert document["result"] != "equal"
    assert document["changes"] == [f"{recorded} then, {other} now"]


@pytest.mark.usefixtures("_mine")
@pytest.mark.parametrize("is_cut", [True, False])
def test_without_the_run_file_the_trial_s_own_numbers_are_compared(hpo: Hpo, is_cut: bool) -> None:
    path = edit_run(lambda _: None)
    path.write_text("{") if is_cut else path.unlink()
    answer = hpo("reproduce", "mine", "--trial", 0)
    assert answer.code == 0
    assert "equal" in answer.out
    assert "Its run file is gone" in answer.out
    document = hpo("reproduce", "mine", "--trial", 0, "--json").json
    assert not document["has_run"]
    assert document["n_numbers"] == 2 + 6 + 6 + 1


def test_a_pruned_trial_is_trained_as_far_as_it_was(hpo: Hpo, xrays: Path) -> None:
    hpo(*GRID, "--data", xrays, "--study", "mine")
    study = load("mine")
    first = study.trials[0]
    again = {name: first.user_attrs[name] for name in ("params", "config", "seed", "fold")}
    add_like(
        first,
        TrialState.PRUNED,
        again | {"ordinal": 0, "repeat": 9, "n_epochs": 1},
        intermediate_values={1: first.intermediate_values[1]},
    )
    trial = load("mine").trials[-1]
    answer = hpo("reproduce", "mine", "--trial", trial.number)
    assert answer.code == 0
    assert "It was pruned in epoch 1" in answer.out
    document = hpo("reproduce", "mine", "--trial", trial.number, "--json").json
    assert (document["n_epochs"], document["n_numbers"]) == (1, 1)


@pytest.mark.usefixtures("_mine")
def test_what_cannot_be_compared_is_said_with_the_way_out(hpo: Hpo) -> None:
    first = load("mine").trials[0]
    reason = {"reason": "its loss was not finite in epoch 2."}
    add_like(first, TrialState.FAIL, first.user_attrs | reason)
    add_like(first, TrialState.WAITING, first.user_attrs)
    for trial, text in (
        (6, "no trial 6: its trials are 0 to 5"),
        (4, "failed (its loss was not finite in epoch 2), so there is nothing"),
        (5, "is not finished yet: hpo resume mine"),
    ):
        answer = hpo("reproduce", "mine", "--trial", trial)
        assert answer.code == 1
        assert text in answer.err
    assert "no study 'main'" in hpo("reproduce", "main", 1).err


@pytest.mark.usefixtures("_mine")
def test_changed_or_lost_data_are_refused(hpo: Hpo, xrays: Path) -> None:
    np.save(xrays / "normal.npy", make_images(40, is_ill=False, seed=9))
    changed = hpo("reproduce", "mine", "--trial", 0)
    assert changed.code == 1
    assert "are not what they were" in changed.err
    for path in xrays.iterdir():
        path.unlink()
    lost = hpo("reproduce", "mine", "--trial", 0, "--json")
    assert lost.code == 1
    assert lost.json["error"]["kind"] == "data"


@pytest.fixture
def _stressed(xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid of two trials called mine, whose score is the accuracy under stress."""
    monkeypatch.chdir(tmp_path)
    small = {"image_size": str(SIZE), "hidden": "8"}
    settings = Settings(data=xrays, study="mine", set=small, epochs=10, repeats=2)
    grid(["batch_size"], replace(settings, values={"batch_size": "16"}, metric="stress_accuracy"))


@pytest.mark.usefixtures("_stressed")
def test_every_number_under_stress_is_trained_again(hpo: Hpo) -> None:
    document = hpo("reproduce", "mine", "--trial", 1, "--json").json
    assert document["result"] == "equal"
    assert document["score"]["name"] == "stress_accuracy"
    assert document["score"]["recorded"] == document["score"]["now"]
    assert "Score (accuracy under stress)" in hpo("reproduce", "mine", "--trial", 1).out
    edit_run(lambda run: run["stress"]["noisy"].update(auroc=0.125))
    altered = hpo("reproduce", "mine", "--trial", 0, "--json").json
    assert altered["begins"]["metric"] == "noisy validation auroc"
    edit_run(lambda run: run["epochs"][9]["stress"].update(brier=0.99))
    altered = hpo("reproduce", "mine", "--trial", 0, "--json").json
    assert (altered["begins"]["epoch"], altered["begins"]["metric"]) == (10, "mean stress brier")


@pytest.mark.usefixtures("_stressed")
def test_a_plain_study_whose_run_another_one_put_under_stress_is_reproduced_whole(
    hpo: Hpo, xrays: Path
) -> None:
    small = ("--set", f"image_size={SIZE}", "--set", "hidden=8", "--epochs", "10")
    plain = ("grid", "--param", "batch_size", "--values", "16", "--repeats", "2", *small)
    document = hpo(*plain, "--data", xrays, "--study", "plain", "--json").json
    assert (document["n_trained"], document["n_reused"]) == (0, 2)
    found = hpo("reproduce", "plain", 1, "--json").json
    assert found["result"] == "equal"
    assert found["score"]["name"] == "accuracy"


@pytest.mark.usefixtures("_stressed")
def test_a_trial_under_stress_without_its_run_file_is_compared_by_its_score(hpo: Hpo) -> None:
    for path in Path("studies/runs").iterdir():
        path.unlink()
    found = hpo("reproduce", "mine", "--trial", 0, "--json").json
    assert (found["result"], found["has_run"]) == ("equal", False)
