"""hpo reproduce: a trial is trained again and compared."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpo import grid
from hpo.run.plan import Settings
from hpo.training import machine
from tests.cli.conftest import assert_error
from tests.conftest import SIZE, Hpo, make_images


def load() -> optuna.Study:
    return optuna.load_study(study_name="mine", storage="sqlite:///studies/hpo.db")


def stored() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("studies/runs").iterdir()}


def edit_run(change: Callable[[dict[str, Any]], object]) -> None:
    """Change the run file of trial 0."""
    path = Path("studies/runs") / f"{load().trials[0].user_attrs['run']}.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def add_like_first(state: TrialState, attributes: dict[str, Any], **given: Any) -> None:
    """Add a trial with the parameters of the first."""
    first = load().trials[0]
    made = create_trial(
        state=state,
        params=first.params,
        distributions=first.distributions,
        user_attrs=first.user_attrs | attributes,
        **given,
    )
    load().add_trial(made)


@pytest.mark.usefixtures("mine")
def test_reproduce_is_bitwise_equal_and_writes_nothing(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored()
    answer = hpo("reproduce", "mine", "--trial", 3)
    assert (answer.code, "equal. All" in answer.out) == (0, True)
    document = hpo("reproduce", "mine", "--trial", 1, "--json").json
    assert (document["result"], document["changes"]) == ("equal", [])
    assert (document["number"], document["repeat"]) == (1, 2)
    assert document["n_equal"] == document["n_numbers"] > 40
    assert document["score"]["recorded"] == document["score"]["now"]
    assert (stored(), len(load().trials)) == (before, 4)
    # Another processor and another precision are named.
    recorded = machine.processor()
    monkeypatch.setattr(machine, "processor", lambda: "Abacus 3000")
    changes = hpo("reproduce", "mine", "--trial", 0, "--json").json["changes"]
    assert changes == [f"processor {recorded} then, Abacus 3000 now"]
    precision = load().user_attrs["hpo"]["precision"]
    other = "fp32" if precision == "bf16" else "bf16"
    document = hpo("reproduce", "mine", "--trial", 0, "--precision", other, "--json").json
    assert document["result"] != "equal"
    assert document["changes"][0] == f"{precision} then, {other} now"


@pytest.mark.usefixtures("mine")
def test_reproduce_reports_rounding_another_torch_and_a_changed_record(hpo: Hpo) -> None:
    def change(run: dict[str, Any]) -> None:
        run["epochs"][0]["train"]["loss"] += 1e-6
        run["versions"]["torch"] = "2.0.0"

    edit_run(change)
    answer = hpo("reproduce", "mine", "--trial", 0, "--json")
    assert (answer.code, answer.json["result"]) == (0, "equal_within_rounding")
    assert answer.json["largest"]["metric"] == "training loss"
    assert "torch 2.0.0 then" in answer.json["changes"][0]
    edit_run(lambda run: run["epochs"][1]["validation"].update(loss=0.5))
    altered = stored()
    answer = hpo("reproduce", "mine", "--trial", 0, "--json")
    assert (answer.code, answer.json["result"]) == (1, "different")
    begins = answer.json["begins"]
    assert (begins["epoch"], begins["metric"]) == (2, "validation loss")
    shown = hpo("reproduce", "mine", "--trial", 0).out
    assert "different, starting with the validation loss of epoch 2" in shown
    assert stored() == altered


@pytest.mark.usefixtures("mine")
def test_without_a_run_file_reproduce_compares_the_values_of_the_trial(hpo: Hpo) -> None:
    for path in Path("studies/runs").iterdir():
        path.write_text('{"format": 1, "epo')
    assert "Its run file is missing" in hpo("reproduce", "mine", "--trial", 0).out
    document = hpo("reproduce", "mine", "--trial", 0, "--json").json
    assert (document["result"], document["has_run"]) == ("equal", False)
    assert document["n_numbers"] == 2 + 8 + 8 + 1


@pytest.mark.usefixtures("mine")
def test_trials_that_cannot_be_reproduced_are_explained(hpo: Hpo, xrays: Path) -> None:
    values = {1: load().trials[0].intermediate_values[1]}
    pruned = {"ordinal": 0, "repeat": 9, "n_epochs": 1, "run": None, "metrics": {}}
    add_like_first(TrialState.PRUNED, pruned, intermediate_values=values)
    assert "It was pruned in epoch 1" in hpo("reproduce", "mine", "--trial", 4).out
    document = hpo("reproduce", "mine", "--trial", 4, "--json").json
    assert (document["n_epochs"], document["n_numbers"]) == (1, 1)
    add_like_first(TrialState.FAIL, {"reason": "its loss was not finite in epoch 2."})
    add_like_first(TrialState.WAITING, {})
    for asked, code, text in (
        (("--trial", 7), 1, "no trial 7: its trials are 0 to 6"),
        (("--trial", 5), 1, "failed (its loss was not finite in epoch 2), so there is nothing"),
        (("--trial", 6), 1, "is not finished. To continue: hpo resume mine"),
        (("9",), 1, "no configuration 9. The highest number is 2"),
        (("2", "--repeat", "5"), 1, "Configuration 2 of mine has no repeat 5, only 1 to 2"),
        (("1", "--trial", "0"), 2, "possibly with --repeat, or --trial NUMBER"),
        ((), 2, "possibly with --repeat, or --trial NUMBER"),
    ):
        assert_error(hpo("reproduce", "mine", *asked), code, text)
    np.save(xrays / "normal.npy", make_images(40, is_ill=False, seed=9))
    assert_error(hpo("reproduce", "mine", "--trial", 0), 1, "have changed")
    for path in xrays.iterdir():
        path.unlink()
    lost = hpo("reproduce", "mine", "--trial", 0, "--json")
    assert (lost.code, lost.json["error"]["kind"]) == (1, "data")


def test_stress_metrics_are_reproduced(hpo: Hpo, xrays: Path) -> None:
    small = {"image_size": str(SIZE), "hidden": "8"}
    values = {"batch_size": "16"}
    settings = Settings(data=xrays, set=small, epochs=10, repeats=2, values=values, lanes=1)
    grid("batch_size", replace(settings, study="mine", metric="stress_accuracy"))
    document = hpo("reproduce", "mine", "--trial", 1, "--json").json
    assert (document["result"], document["score"]["name"]) == ("equal", "stress_accuracy")
    assert document["score"]["recorded"] == document["score"]["now"]
    # A study without stress that reuses this run is reproduced completely.
    plain = grid("batch_size", replace(settings, study="plain"))
    assert (plain.n_trained, plain.n_reused) == (0, 2)
    assert hpo("reproduce", "plain", 1, "--json").json["result"] == "equal"
    edit_run(lambda run: run["epochs"][9]["stress"].update(brier=0.99))
    altered = hpo("reproduce", "mine", "--trial", 0, "--json").json
    assert (altered["begins"]["epoch"], altered["begins"]["metric"]) == (10, "mean stress brier")
