from collections.abc import Callable
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import UsageError
from hpo.space import (
    Space,
    cells,
    from_document,
    load_space,
    override,
    resolve,
    restrict,
    to_document,
    with_values,
)

SpaceFrom = Callable[[str], Space]
CHEST_XRAY = load_space("chest_xray")
SEARCHED = [parameter.name for parameter in CHEST_XRAY.search]


def searched(space: Space) -> list[str]:
    return [parameter.name for parameter in space.search]


def faults(call: Callable[..., Space], *arguments: object, epochs: int | None = None) -> list[str]:
    with pytest.raises(UsageError) as caught:
        call(*arguments) if epochs is None else call(*arguments, epochs=epochs)
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()[1:]]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("hidden", "64-32", (64, 32)),
        ("hidden", "[64, 32]", (64, 32)),
        ("hidden", "64", (64,)),
        ("dropout", "0.3", 0.3),
        ("dropout", "[0.3,0.2,0.1]", (0.3, 0.2, 0.1)),
        ("dropout", "0.3-0.2-1e-05", (0.3, 0.2, 1e-5)),
        ("batch_norm", "false", False),
        ("learning_rate", "1e-4", 1e-4),
        ("loss", " ce ", "ce"),
    ],
)
def test_set_changes_the_base(name: str, text: str, value: object) -> None:
    base = override(CHEST_XRAY, {name: text}).base
    assert getattr(base, name) == value


@pytest.mark.parametrize(
    ("texts", "hidden"),
    [
        ({"layers": "2"}, (64, 64)),
        ({"width": "8"}, (8, 8, 8)),
        ({"layers": "2", "width": "8"}, (8, 8)),
    ],
)
def test_layers_and_width_are_a_way_to_set_hidden(
    texts: dict[str, str], hidden: tuple[int, ...]
) -> None:
    assert override(CHEST_XRAY, texts).base.hidden == hidden


def test_layers_alone_need_one_width() -> None:
    [found] = faults(override, load_space("report_b"), {"layers": "2"})
    assert found == (
        "layers = 2 needs one width, but hidden = [512, 256, 256] has several: "
        "set width too, or write hidden"
    )


def test_a_dropout_per_layer_follows_set_layers() -> None:
    base = override(load_space("report_b"), {"hidden": "64-64"}).base
    assert base.dropout == (0.9, 0.9)


def test_epochs_and_set_epochs_agree_or_are_refused() -> None:
    assert override(CHEST_XRAY, {"epochs": "7"}, epochs=7).base.epochs == 7
    [found] = faults(override, CHEST_XRAY, {"epochs": "7"}, epochs=8)
    assert found == "--set epochs=7 and --epochs 8 differ: keep one of them"


def test_all_faults_of_set_come_in_one_message() -> None:
    texts = {"batchsize": "3", "dropout": "2", "epochs": "x", "hidden": "-5", "layers": "2"}
    found = faults(override, CHEST_XRAY, texts)
    assert found == [
        "Unknown hyperparameter 'batchsize'. Did you mean batch_size?",
        "dropout takes a number or a list of them from 0 below 1, but got 2",
        'epochs takes a whole number from 1 to 10000, but got "x"',
        "hidden takes a list of 1 to 8 whole numbers from 1 to 4096, but got -5",
        "hidden and layers both write the hidden layers: keep one form",
    ]


def test_epochs_out_of_bounds_are_refused() -> None:
    [found] = faults(override, CHEST_XRAY, {}, epochs=0)
    assert found == "--epochs takes a whole number from 1 to 10000, but got 0"


def test_a_fixed_field_leaves_the_search() -> None:
    space = override(CHEST_XRAY, {"learning_rate": "0.01"})
    assert searched(space) == [name for name in SEARCHED if name != "learning_rate"]


@pytest.mark.parametrize(
    ("texts", "gone"),
    [
        ({"hidden": "64-32"}, {"layers", "width"}),
        ({"layers": "2"}, {"layers"}),
        ({"scheduler": "step"}, {"scheduler"}),
        ({"scheduler": "cosine"}, {"scheduler", "step_size", "gamma"}),
        ({"optimizer": "adamw"}, {"optimizer", "momentum"}),
    ],
)
def test_conditions_on_a_fixed_field_are_settled(texts: dict[str, str], gone: set[str]) -> None:
    space = override(CHEST_XRAY, texts)
    assert set(SEARCHED) - set(searched(space)) == gone
    conditions = {name for parameter in space.search for name, _ in parameter.when}
    assert not conditions & gone


def test_what_a_condition_needs_is_inherited_when_it_is_fixed(space_from: SpaceFrom) -> None:
    space = space_from("""
        [base]
        step_size = 5
        [search]
        scheduler = { choices = ["none", "step", "plateau"] }
        step_size = { low = 1, high = 9, when = { scheduler = ["step", "plateau"] } }
        gamma = { low = 0.1, high = 1, when = { step_size = 5, scheduler = ["none", "step"] } }
    """)
    _, gamma = override(space, {"step_size": "5"}).search
    assert gamma.when == (("scheduler", ("step",)),)
    assert searched(override(space, {"step_size": "4"})) == ["scheduler"]


def test_a_parameter_that_left_takes_those_that_need_it_along(space_from: SpaceFrom) -> None:
    space = space_from("""
        [search]
        scheduler = { choices = ["none", "step"] }
        step_size = { low = 1, high = 30, when = { scheduler = "step" } }
        gamma = { low = 0.1, high = 1, when = { step_size = 10 } }
    """)
    assert space.base.step_size == 10
    assert searched(override(space, {"scheduler": "none"})) == []
    assert searched(override(space, {"scheduler": "step"})) == ["step_size", "gamma"]


def test_a_search_is_ordered_anew_where_conditions_are_gone(space_from: SpaceFrom) -> None:
    space = space_from("""
        [search]
        width = { choices = [8, 9], when = { batch_size = 32 } }
        learning_rate = { choices = [0.1, 0.2] }
        batch_size = { choices = [16, 32] }
    """)
    assert searched(space) == ["learning_rate", "batch_size", "width"]
    left = override(space, {"batch_size": "32"})
    assert searched(left) == ["width", "learning_rate"]
    assert from_document(to_document(left)) == left


def test_conditions_that_are_inherited_are_in_order_too(space_from: SpaceFrom) -> None:
    space = space_from("""
        [search]
        layers = { low = 1, high = 3 }
        width = { choices = [8, 9], when = { batch_size = 32 } }
        learning_rate = { choices = [0.1, 0.2] }
        batch_size = { choices = [16, 32], when = { layers = 3 } }
        gamma = { low = 0.1, high = 1, when = { learning_rate = 0.1, batch_size = 32 } }
    """)
    left = override(space, {"batch_size": "32"})
    assert searched(left) == ["layers", "learning_rate", "width", "gamma"]
    assert left.search[-1].when == (("layers", (3,)), ("learning_rate", (0.1,)))
    assert from_document(to_document(left)) == left


def test_what_is_fixed_overrules_the_set_of_a_sweep() -> None:
    space = override(load_space("report_a"), {}, epochs=2)
    assert [cell.config.epochs for cell in cells(space, ["hidden"])] == [2, 2, 2]


def test_the_space_itself_is_not_changed() -> None:
    before = load_space("chest_xray")
    override(CHEST_XRAY, {"scheduler": "step"}, epochs=2)
    with_values(CHEST_XRAY, {"gamma": "0.1,0.2"})
    restrict(CHEST_XRAY, ["width"])
    assert before == CHEST_XRAY


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("batch_size", "16,32", (16, 32)),
        ("hidden", "64-64,128", ("64-64", "128")),
        ("hidden", "[64, 64], [128]", ("64-64", "128")),
        ("dropout", "0.5,[0.9, 0.9, 0.8],0.1-0.2-0.3", (0.5, "0.9-0.9-0.8", "0.1-0.2-0.3")),
        ("batch_norm", "true,false", (True, False)),
        ("layers", "1,2", (1, 2)),
        ("early_stopping", "5", (5,)),
    ],
)
def test_values_replace_a_sweep_or_begin_one(
    name: str, text: str, labels: tuple[object, ...]
) -> None:
    space = with_values(CHEST_XRAY, {name: text})
    assert space.sweeps[name].labels == labels
    assert len(cells(space, [name])) == len(labels)


def test_values_leave_the_base_of_a_sweep_as_prescribed() -> None:
    space = with_values(load_space("report_c"), {"batch_size": "16,256"})
    assert [cell.config.loss for cell in cells(space, ["batch_size"])] == ["ce", "ce"]


def test_all_faults_of_values_come_in_one_message() -> None:
    texts = {"batchsize": "3", "dropout": "0.1,1.5,[0.2", "loss": "", "epochs": "3,3"}
    assert faults(with_values, CHEST_XRAY, texts) == [
        "Unknown hyperparameter 'batchsize'. Did you mean batch_size?",
        "dropout takes a number or a list of them from 0 below 1, but got 1.5",
        'dropout takes a number or a list of them from 0 below 1, but got "[0.2"',
        'loss takes one of bce, ce, focal, l1, mse, smooth_l1, but got ""',
        "epochs holds 3 twice",
    ]


def test_a_restricted_search_varies_the_named_parameters_only() -> None:
    assert searched(restrict(CHEST_XRAY, ["learning_rate", "width"])) == ["width", "learning_rate"]
    assert searched(restrict(CHEST_XRAY, ["hidden"])) == ["layers", "width"]


def test_a_condition_is_kept_where_its_parameter_is_named_too() -> None:
    [scheduler, step_size] = restrict(CHEST_XRAY, ["step_size", "scheduler"]).search
    assert scheduler.name == "scheduler"
    assert step_size.when == (("scheduler", ("plateau", "step")),)


def test_a_condition_that_the_base_meets_is_dropped() -> None:
    space = override(CHEST_XRAY, {"scheduler": "step"})
    [step_size] = restrict(space, ["step_size"]).search
    assert step_size.when == ()


def test_a_parameter_without_effect_at_the_base_is_refused_with_the_way_out() -> None:
    assert faults(restrict, CHEST_XRAY, ["momentum"]) == [
        "--param momentum is searched only where optimizer = sgd, and the base differs: "
        "add --param optimizer, or --set optimizer=sgd"
    ]


@pytest.mark.parametrize(
    ("space", "name", "fault"),
    [
        (CHEST_XRAY, "widht", "Unknown hyperparameter 'widht'. Did you mean width?"),
        (CHEST_XRAY, "power", "--param power is not searched in the space chest_xray, which sea"),
        (CHEST_XRAY, "hidden_", "Unknown hyperparameter 'hidden_'. Did you mean hidden?"),
        (load_space("report_a"), "loss", "--param loss is not searched in the space report_a, w"),
        (override(CHEST_XRAY, {"width": "8"}), "width", "--param width is fixed by --set or --e"),
    ],
)
def test_only_what_is_searched_can_be_named(space: Space, name: str, fault: str) -> None:
    [found] = faults(restrict, space, [name])
    assert found.startswith(fault)


@given(st.data())
def test_any_pins_leave_a_search_that_keeps_them(data: st.DataObject) -> None:
    pinned = data.draw(st.sets(st.sampled_from(SEARCHED), max_size=4))
    texts = {}
    for parameter in CHEST_XRAY.search:
        domain = parameter.domain
        options = [domain.low, domain.high] if hasattr(domain, "low") else list(domain.labels)
        if parameter.name in pinned:
            texts[parameter.name] = str(data.draw(st.sampled_from(options)))
    space = override(CHEST_XRAY, texts)
    assert not pinned & set(searched(space))
    seen: set[str] = set()
    for parameter in space.search:
        assert {name for name, _ in parameter.when} <= seen
        seen.add(parameter.name)
    config = resolve(space, {})
    assert config == space.base
    for name in pinned - {"layers", "width"}:
        assert str(getattr(config, name)) == texts[name]


@pytest.mark.parametrize("names", [*combinations(["layers", "width", "dropout"], 2)])
def test_two_restrictions_are_one(names: tuple[str, str]) -> None:
    first, second = names
    once = restrict(CHEST_XRAY, [first])
    assert restrict(restrict(CHEST_XRAY, [first, second]), [first]) == once
