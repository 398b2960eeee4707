from collections.abc import Callable, Sequence

import pytest

from hpo.errors import UsageError
from hpo.space import Space, cells, load_space, n_combinations, override, with_values

SpaceFrom = Callable[[str], Space]


@pytest.fixture(scope="module")
def report_a() -> Space:
    return load_space("report_a")


@pytest.fixture(scope="module")
def chest_xray() -> Space:
    return load_space("chest_xray")


def refusal(space: Space, *names: str) -> str:
    with pytest.raises(UsageError) as caught:
        cells(space, names)
    return str(caught.value)


def faults(space: Space, *names: str) -> list[str]:
    return [line.removeprefix("  - ") for line in refusal(space, *names).splitlines()[1:]]


def values_of(space: Space, names: Sequence[str]) -> list[tuple[object, ...]]:
    return [tuple(cell.params.values()) for cell in cells(space, names)]


def test_one_sweep_is_varied_alone_around_the_base(chest_xray: Space) -> None:
    grid = cells(chest_xray, ["batch_size"])
    assert [cell.params for cell in grid] == [{"batch_size": size} for size in (32, 64, 128)]
    assert [cell.config for cell in grid] == [
        chest_xray.base.replace(batch_size=size) for size in (32, 64, 128)
    ]


def test_several_sweeps_make_a_product_and_the_first_varies_slowest(chest_xray: Space) -> None:
    found = values_of(chest_xray, ["loss", "batch_size"])
    assert found[:4] == [("bce", 32), ("bce", 64), ("bce", 128), ("ce", 32)]
    assert len(found) == len(set(found)) == 9


def test_a_value_sets_several_fields_and_set_changes_the_base(report_a: Space) -> None:
    first, second, _ = cells(report_a, ["hidden"])
    assert first.params == {"hidden": "256 (batch_norm=false, dropout=0)"}
    one_layer = {"hidden": (256,), "batch_norm": False, "dropout": 0.0}
    assert first.config == report_a.base.replace(epochs=30, **one_layer)
    assert second.config == report_a.base.replace(epochs=30, hidden=(64, 64))


def test_a_swept_field_overrules_the_set_of_another_sweep(report_a: Space) -> None:
    epochs = [cell.config.epochs for cell in cells(report_a, ["hidden", "epochs"])]
    assert epochs == [15, 30, 100] * 3


def test_layers_and_width_may_be_swept(chest_xray: Space) -> None:
    assert [c.config.hidden for c in cells(chest_xray, ["layers"])] == [
        (64,), (64, 64), (64, 64, 64),
    ]  # fmt: skip
    both = [cell.config.hidden for cell in cells(chest_xray, ["layers", "width"])]
    assert both[3:6] == [(32, 32), (64, 64), (128, 128)]


def test_a_dropout_per_layer_follows_the_number_of_layers() -> None:
    space = with_values(load_space("report_b"), {"hidden": "64,64-64-64-64"})
    dropouts = [cell.config.dropout for cell in cells(space, ["hidden"])]
    assert dropouts == [(0.9,), (0.9, 0.9, 0.8, 0.8)]


def test_without_a_name_the_sweeps_are_listed(report_a: Space) -> None:
    assert refusal(report_a).splitlines() == [
        "Name what to vary with --param NAME. The space report_a prescribes values for:",
        "  - hidden: 256 (batch_norm=false, dropout=0), 64-64, 64-64-64",
        "  - loss: bce, ce",
        "  - epochs: 15, 30, 100",
    ]


def test_a_space_without_sweeps_says_how_to_give_values(space_from: SpaceFrom) -> None:
    assert "--values NAME=V,V,V" in refusal(space_from(""))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (
            "batchsize",
            "Unknown hyperparameter 'batchsize'. Did you mean batch_size?",
        ),
        (
            "gamma",
            "--param gamma has no prescribed values: give some with --values gamma=V,V,V",
        ),
    ],
)
def test_a_name_without_a_sweep_is_refused(report_a: Space, name: str, fault: str) -> None:
    [found] = faults(report_a, name)
    assert found.startswith(fault)


@pytest.mark.parametrize("names", [("loss", "loss"), ("layers", "hidden")])
def test_a_thing_is_varied_once(chest_xray: Space, names: tuple[str, str]) -> None:
    found = faults(chest_xray, *names)
    assert f"--param {names[0]} and --param {names[1]} vary the same: drop one of them" in found


def test_two_sweeps_that_set_the_same_field_are_refused(report_a: Space) -> None:
    space = with_values(report_a, {"dropout": "0.1,0.2"})
    [found] = faults(space, "hidden", "dropout")
    assert found.startswith("--param hidden and --param dropout both set dropout: vary them one ")


def test_two_sweeps_with_other_bases_are_refused_until_the_field_is_fixed(
    chest_xray: Space,
) -> None:
    [found] = faults(chest_xray, "gamma", "milestones")
    assert found == (
        '--param gamma is prescribed with scheduler = "step", --param milestones with '
        '"multistep": fix it with --set scheduler=V'
    )
    fixed = override(chest_xray, {"scheduler": "multistep"})
    assert len(cells(fixed, ["gamma", "milestones"])) == 9
    varied = with_values(chest_xray, {"scheduler": "step,multistep"})
    assert len(cells(varied, ["gamma", "milestones", "scheduler"])) == 3 + 9


@pytest.mark.parametrize(
    ("texts", "epochs", "name", "option"),
    [
        ({}, 10, "epochs", "--epochs"),
        ({"loss": "ce"}, None, "loss", "--set loss"),
        ({"hidden": "64"}, None, "layers", "--set hidden"),
        ({"width": "64"}, None, "hidden", "--set width"),
    ],
)
def test_what_is_fixed_cannot_be_varied(
    chest_xray: Space, texts: dict[str, str], epochs: int | None, name: str, option: str
) -> None:
    [found] = faults(override(chest_xray, texts, epochs=epochs), name)
    assert found == f"--param {name} varies what {option} fixes: drop one of the two"


def test_what_was_fixed_before_stays_fixed(chest_xray: Space) -> None:
    space = override(override(chest_xray, {"loss": "ce"}), {"batch_size": "64"})
    assert len(faults(space, "loss", "batch_size")) == 2


def test_what_is_fixed_hinders_no_other_sweep(chest_xray: Space) -> None:
    fixed = override(chest_xray, {"loss": "ce"}, epochs=2)
    assert [cell.config.loss for cell in cells(fixed, ["batch_size"])] == ["ce"] * 3


def test_a_value_that_sets_a_fixed_field_is_refused(report_a: Space) -> None:
    [found] = faults(override(report_a, {"dropout": "0.1"}), "hidden")
    assert found == (
        "--param hidden: its value 256 (batch_norm=false, dropout=0) sets dropout, which "
        "--set dropout fixes: drop one of the two"
    )


def test_a_sweep_without_effect_is_refused_with_what_it_needs(chest_xray: Space) -> None:
    space = with_values(load_space("report_d"), {"gamma": "0.1,0.5"})
    assert faults(space, "gamma") == [
        "--param gamma has no effect with the other values as they are: add --set scheduler=step"
    ]
    assert len(cells(override(space, {"scheduler": "step"}), ["gamma"])) == 2
    assert faults(override(chest_xray, {"scheduler": "none"}), "step_size") != []


def test_a_sweep_with_effect_in_some_cells_is_allowed() -> None:
    space = with_values(load_space("report_d"), {"scheduler": "none,step", "step_size": "5,10"})
    assert values_of(space, ["scheduler", "step_size"]) == [("none",), ("step", 5), ("step", 10)]


def test_combinations_that_are_one_training_are_one_cell(chest_xray: Space) -> None:
    grid = cells(chest_xray, ["scheduler", "step_size"])
    assert [(cell.ordinal, cell.params) for cell in grid] == [
        (0, {"scheduler": "none"}),
        (3, {"scheduler": "cosine"}),
        (6, {"scheduler": "step", "step_size": 5}),
        (7, {"scheduler": "step", "step_size": 10}),
        (8, {"scheduler": "step", "step_size": 20}),
    ]
    assert n_combinations(chest_xray, ["scheduler", "step_size"]) == 9
    turned = cells(chest_xray, ["step_size", "scheduler"])
    assert {c.config.identity() for c in turned} == {c.config.identity() for c in grid}
    assert len(turned) == 5


def test_two_values_that_are_one_training_are_one_cell(chest_xray: Space) -> None:
    space = with_values(chest_xray, {"outputs": "0,1,2"})
    assert values_of(space, ["outputs"]) == [(0,), (2,)]


def test_cells_that_differ_stay_apart_where_a_value_sets_more_than_its_own_field(
    space_from: SpaceFrom,
) -> None:
    space = space_from(
        """
        [sweep]
        scheduler = ["none", "step"]
        step_size = [5, 10, { step_size = 5, batch_size = 64 }]
        """
    )
    grid = cells(space, ["scheduler", "step_size"])
    assert len(grid) == len({str(cell.params) for cell in grid}) == 2 + 3


def test_a_combination_that_makes_no_sense_is_named() -> None:
    space = with_values(
        load_space("report_d"), {"hidden": "8-8,8-8-8", "dropout": "[0.1,0.2],0.3"}
    )
    assert refusal(space, "hidden", "dropout").splitlines() == [
        "hidden = 8-8-8, dropout = 0.1-0.2 cannot be trained:",
        "  - dropout = [0.1, 0.2] has 2 values for 3 hidden layers: give one value, or 3",
    ]


def test_more_configurations_than_can_be_trained_are_refused_uncounted(chest_xray: Space) -> None:
    values = ",".join(map(str, range(2, 3002)))
    wide = with_values(chest_xray, dict.fromkeys(("batch_size", "epochs", "step_size"), values))
    names = ["batch_size", "epochs", "step_size"]
    assert faults(wide, *names) == [
        "it has 27,000,000,000 configurations; at most 10,000 are trained"
    ]
