"""`--set`, `--epochs`, `--values` and `--param` of a search: what they change and refuse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import UsageError
from hpo.space import (
    Range,
    Space,
    cells,
    complete,
    from_document,
    load_space,
    override,
    resolve,
    restrict,
    to_document,
    with_values,
)
from tests.conftest import assert_snapshot
from tests.space.conftest import SpaceFrom

CHEST_XRAY = load_space("chest_xray")
SEARCHED = [parameter.name for parameter in CHEST_XRAY.search]


def searched(space: Space) -> list[str]:
    return [parameter.name for parameter in space.search]


def faults(call: Callable[..., Space], *arguments: object, **keywords: Any) -> list[str]:
    with pytest.raises(UsageError) as caught:
        call(*arguments, **keywords)
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()[1:]]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("hidden", "64-32", (64, 32)),
        ("hidden", "[64, 32]", (64, 32)),
        ("dropout", "0.3-0.2-1e-05", (0.3, 0.2, 1e-5)),
        ("batch_norm", "False", False),
        ("learning_rate", "1e-4", 1e-4),
        ("learning_rate", 1, 1.0),
        ("epochs", "30.0", 30),
        ("loss", " ce ", "ce"),
    ],
)
def test_set_changes_the_base(name: str, text: Any, value: object) -> None:
    found = getattr(override(CHEST_XRAY, {name: text}).base, name)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("hidden", ["", "-5", "64--64", "64-", "64,,64", "[64", "[]", "64-64.5"]),
        ("dropout", ["0.5-", "-0.5", "nan", "1"]),
        ("learning_rate", ["inf", "0"]),
        ("epochs", ["3,4", "3.5", "true"]),
        ("batch_norm", ["1"]),
        ("loss", ["BCE", "1"]),
    ],
)
def test_an_invalid_value_is_refused_in_one_sentence(name: str, texts: list[str]) -> None:
    for text in texts:
        [found] = faults(override, CHEST_XRAY, {name: text})
        assert found.startswith(f"{name} must be ")


def test_a_list_of_values_suggests_the_intended_sweep() -> None:
    several = " Several values make a sweep: hpo grid epochs=3,4"
    for texts, is_sweep in (
        ({"epochs": "3,4"}, True),
        ({"hidden": "1-1-1-1-1-1-1-1-1"}, False),
        ({"epochs": "3,x"}, False),
    ):
        [found] = faults(override, CHEST_XRAY, texts)
        assert found.endswith(several) is is_sweep
        assert ("make a sweep" in found) is is_sweep


def test_all_faults_of_set_come_in_one_message() -> None:
    texts = {"batchsize": "3", "dropout": "2", "hidden": "-5", "layers": "2", "epochs": "7"}
    assert faults(override, CHEST_XRAY, texts, epochs=8) == [
        "--set epochs=7 and --epochs 8 differ. Keep one.",
        "hidden must be at least 1, but is -5.",
        "dropout must be below 1, but is 2.",
        "Unknown hyperparameter 'batchsize'. Did you mean batch_size?",
        "Both hidden and layers set the hidden layers. Keep one form.",
    ]
    assert override(CHEST_XRAY, {"epochs": "7"}, epochs=7).base.epochs == 7


@pytest.mark.parametrize(
    ("texts", "gone"),
    [
        ({"hidden": "64-32"}, {"layers", "width"}),
        ({"layers": "2"}, {"layers"}),
        ({"scheduler": "step"}, {"scheduler"}),
        ({"scheduler": "cosine"}, {"scheduler", "step_size", "gamma"}),
    ],
)
def test_fixed_parameters_leave_the_search_and_resolve_conditions(
    texts: dict[str, str], gone: set[str]
) -> None:
    space = override(CHEST_XRAY, texts)
    assert set(SEARCHED) - set(searched(space)) == gone
    assert not {name for parameter in space.search for name in parameter.when} & gone


def test_a_search_is_reordered_when_conditions_are_resolved(space_from: SpaceFrom) -> None:
    space = space_from("""
        [search]
        layers = { low = 1, high = 3 }
        width = { choices = [8, 9], when = { batch_size = 32 } }
        learning_rate = { choices = [0.1, 0.2] }
        batch_size = { choices = [16, 32], when = { layers = 3 } }
        gamma = { low = 0.1, high = 1, when = { learning_rate = 0.1, batch_size = 32 } }
    """)
    assert searched(space) == ["layers", "learning_rate", "batch_size", "width", "gamma"]
    left = override(space, {"batch_size": "32"})
    assert searched(left) == ["layers", "width", "learning_rate", "gamma"]
    assert left.search[-1].when == {"learning_rate": (0.1,)}
    assert from_document(to_document(left)) == left
    # Parameters that depend on a removed one are removed too.
    assert searched(override(space, {"layers": "2"})) == ["learning_rate"]


@pytest.mark.parametrize(
    ("name", "values", "labels"),
    [
        ("batch_size", "16,32", (16, 32)),
        ("hidden", "64-64,128", ("64-64", "128")),
        ("dropout", "0.5,[0.9, 0.9, 0.8],0.1-0.2-0.3", (0.5, "0.9-0.9-0.8", "0.1-0.2-0.3")),
        ("layers", "1,2", (1, 2)),
        ("learning_rate", np.array([0.5, 0.25]), (0.5, 0.25)),
        ("batch_size", range(8, 10), (8, 9)),
    ],
)
def test_values_replace_or_start_a_sweep(
    name: str, values: object, labels: tuple[object, ...]
) -> None:
    space = with_values(CHEST_XRAY, {name: values})
    assert space.sweeps[name].labels == labels
    assert len(cells(space, [name])) == len(labels)


def test_all_faults_of_values_come_in_one_message() -> None:
    texts = {"batchsize": "3", "dropout": "0.1,1.5,[0.2", "epochs": "3,3"}
    assert faults(with_values, CHEST_XRAY, texts) == [
        "Unknown hyperparameter 'batchsize'. Did you mean batch_size?",
        "dropout, value 2: dropout must be below 1, but is 1.5.",
        'dropout, value 3: dropout must be a number, but is "[0.2".',
        "epochs: The value 3 occurs twice.",
    ]


def test_a_restricted_search_varies_only_the_named_parameters() -> None:
    # The others keep the values of the first configuration of the whole search.
    moved = ["image_size", "align", "augment_pose", "augment_stretch"]
    narrow = restrict(CHEST_XRAY, ["learning_rate", "width"])
    assert searched(narrow) == [*moved, "width", "learning_rate"]
    assert [p.labels for p in narrow.search[:4]] == [(64,), ("template",), (0.05,), (0.1,)]
    assert complete(narrow, {}).config == complete(CHEST_XRAY, {}).config
    assert searched(restrict(CHEST_XRAY, ["hidden"])) == [*moved, "layers", "width"]
    [*_, step_size] = restrict(CHEST_XRAY, ["step_size", "scheduler"]).search
    assert step_size.when == {"scheduler": ("plateau", "step")}
    [*_, step_size] = restrict(override(CHEST_XRAY, {"scheduler": "step"}), ["step_size"]).search
    assert step_size.when == {}


def test_only_searched_parameters_can_be_named() -> None:
    names = ("widht", "power", "loss=ce", "momentum")
    lines = [line for name in names for line in faults(restrict, CHEST_XRAY, [name])]
    lines += faults(restrict, override(CHEST_XRAY, {"width": "8"}), ["width"])
    assert_snapshot("searches", lines)


@given(st.data())
def test_any_fixed_parameters_are_kept_by_the_search(data: st.DataObject) -> None:
    pinned = data.draw(st.sets(st.sampled_from(SEARCHED), max_size=4))
    texts = {}
    for parameter in CHEST_XRAY.search:
        is_range = isinstance(parameter, Range)
        options = [parameter.low, parameter.high] if is_range else parameter.labels
        if parameter.name in pinned:
            texts[parameter.name] = str(data.draw(st.sampled_from(options)))
    space = override(CHEST_XRAY, texts)
    assert not pinned & set(searched(space))
    for number, parameter in enumerate(space.search):
        assert parameter.when.keys() <= set(searched(space)[:number])
    assert resolve(space, {}) == space.base
    for name in pinned - {"layers", "width"}:
        assert str(getattr(space.base, name)) == texts[name]
