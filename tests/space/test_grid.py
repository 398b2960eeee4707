"""The cells of a grid, and why a grid cannot be trained."""

from collections.abc import Callable, Sequence

import pytest

from hpo.errors import UsageError
from hpo.space import Space, cells, load_space, n_combinations, override, with_values

SpaceFrom = Callable[[str], Space]
CHEST_XRAY = load_space("chest_xray")
REPORT_A = load_space("report_a")


def refusal(space: Space, *names: str) -> str:
    with pytest.raises(UsageError) as caught:
        cells(space, names)
    return str(caught.value)


def faults(space: Space, *names: str) -> list[str]:
    return [line.removeprefix("  - ") for line in refusal(space, *names).splitlines()[1:]]


def values_of(space: Space, names: Sequence[str]) -> list[tuple[object, ...]]:
    return [tuple(cell.params.values()) for cell in cells(space, names)]


def test_one_sweep_is_varied_alone_around_the_base() -> None:
    grid = cells(CHEST_XRAY, ["batch_size"])
    assert [cell.params for cell in grid] == [{"batch_size": size} for size in (32, 64, 128)]
    assert [cell.config for cell in grid] == [
        CHEST_XRAY.base.replace(batch_size=size) for size in (32, 64, 128)
    ]


def test_several_sweeps_make_a_product_and_the_first_varies_slowest() -> None:
    found = values_of(CHEST_XRAY, ["loss", "batch_size"])
    assert found[:4] == [("bce", 32), ("bce", 64), ("bce", 128), ("ce", 32)]
    assert len(found) == len(set(found)) == 9


def test_a_value_sets_several_fields_and_set_changes_the_base() -> None:
    first, second, _ = cells(REPORT_A, ["hidden"])
    assert first.params == {"hidden": "256 (batch_norm=false, dropout=0)"}
    one_layer = {"hidden": (256,), "batch_norm": False, "dropout": 0.0}
    assert first.config == REPORT_A.base.replace(epochs=30, **one_layer)
    assert second.config == REPORT_A.base.replace(epochs=30, hidden=(64, 64))
    epochs = [cell.config.epochs for cell in cells(REPORT_A, ["hidden", "epochs"])]
    assert epochs == [15, 30, 100] * 3


def test_layers_and_width_may_be_swept_and_dropout_follows_the_layers() -> None:
    both = [cell.config.hidden for cell in cells(CHEST_XRAY, ["layers", "width"])]
    assert both[3:6] == [(32, 32), (64, 64), (128, 128)]
    space = with_values(load_space("report_b"), {"hidden": "64,64-64-64-64"})
    dropouts = [cell.config.dropout for cell in cells(space, ["hidden"])]
    assert dropouts == [(0.9,), (0.9, 0.9, 0.8, 0.8)]


def test_without_a_name_the_sweeps_are_listed(space_from: SpaceFrom) -> None:
    assert refusal(REPORT_A).splitlines() == [
        "Name what to vary with --param NAME. The space report_a prescribes values for:",
        "  - hidden: 256 (batch_norm=false, dropout=0), 64-64, 64-64-64",
        "  - loss: bce, ce",
        "  - epochs: 15, 30, 100",
    ]
    assert "--values NAME=V,V,V" in refusal(space_from(""))


FIXED = override(override(CHEST_XRAY, {"loss": "ce"}), {}, epochs=10)


@pytest.mark.parametrize(
    ("space", "names", "fault"),
    [
        (REPORT_A, ["batchsize"], "Unknown hyperparameter 'batchsize'. Did you mean batch_size?"),
        (REPORT_A, ["gamma"], "--param gamma has no prescribed values. Add --values gamma=V,V,V."),
        (REPORT_A, ["loss=ce"], "--param takes a name only. Use --param loss --values ce."),
        (CHEST_XRAY, ["loss", "loss"], "--param loss and --param loss vary the same. Drop one "),
        (CHEST_XRAY, ["layers", "hidden"], "--param layers and --param hidden vary the same."),
        (
            with_values(REPORT_A, {"dropout": "0.1,0.2"}),
            ["hidden", "dropout"],
            "--param hidden and --param dropout both set dropout. Vary them one at a time",
        ),
        (
            CHEST_XRAY,
            ["gamma", "milestones"],
            '--param gamma is prescribed with scheduler = "step", --param milestones with '
            '"multistep". Fix it with --set scheduler=V.',
        ),
        (FIXED, ["epochs"], "--param epochs varies what --epochs fixes. Drop one of the two."),
        (FIXED, ["loss"], "--param loss varies what --set loss fixes. Drop one of the two."),
        (
            override(CHEST_XRAY, {"width": "64"}),
            ["hidden"],
            "--param hidden varies what --set width fixes.",
        ),
        (
            override(REPORT_A, {"dropout": "0.1"}),
            ["hidden"],
            "--param hidden: Its value 256 (batch_norm=false, dropout=0) sets dropout, which "
            "--set dropout fixes. Drop one of the two.",
        ),
        (
            with_values(load_space("report_d"), {"gamma": "0.1,0.5"}),
            ["gamma"],
            "--param gamma has no effect with the other values as they are. "
            "Add --set scheduler=step.",
        ),
    ],
)
def test_a_grid_that_cannot_be_trained_is_refused(
    space: Space, names: list[str], fault: str
) -> None:
    [found] = faults(space, *names)
    assert found.startswith(fault)


def test_what_is_fixed_hinders_no_other_sweep() -> None:
    assert len(faults(FIXED, "loss", "epochs")) == 2
    assert [cell.config.loss for cell in cells(FIXED, ["batch_size"])] == ["ce"] * 3
    fixed = override(CHEST_XRAY, {"scheduler": "multistep"})
    assert len(cells(fixed, ["gamma", "milestones"])) == 9
    varied = with_values(CHEST_XRAY, {"scheduler": "step,multistep"})
    assert len(cells(varied, ["gamma", "milestones", "scheduler"])) == 3 + 9


def test_combinations_that_are_one_training_are_one_cell() -> None:
    grid = cells(CHEST_XRAY, ["scheduler", "step_size"])
    assert [(cell.ordinal, cell.params) for cell in grid] == [
        (0, {"scheduler": "none"}),
        (3, {"scheduler": "cosine"}),
        (6, {"scheduler": "step", "step_size": 5}),
        (7, {"scheduler": "step", "step_size": 10}),
        (8, {"scheduler": "step", "step_size": 20}),
    ]
    assert n_combinations(CHEST_XRAY, ["scheduler", "step_size"]) == 9
    turned = cells(CHEST_XRAY, ["step_size", "scheduler"])
    assert {c.config.identity() for c in turned} == {c.config.identity() for c in grid}
    assert len(turned) == 5
    three = with_values(CHEST_XRAY, {"scheduler": "none,step", "step_size": "5,10"})
    three = with_values(three, {"gamma": "0.1,0.5"})
    assert values_of(three, ["scheduler", "step_size", "gamma"]) == [
        ("none",), ("step", 5, 0.1), ("step", 5, 0.5), ("step", 10, 0.1), ("step", 10, 0.5),
    ]  # fmt: skip


def test_two_values_that_are_one_training_are_one_cell(space_from: SpaceFrom) -> None:
    space = with_values(CHEST_XRAY, {"outputs": "0,1,2"})
    assert values_of(space, ["outputs"]) == [(0,), (2,)]
    # A value that sets more than its own field makes another training.
    space = space_from("""
        [sweep]
        scheduler = ["none", "step"]
        step_size = [5, 10, { step_size = 5, batch_size = 64 }]
    """)
    grid = cells(space, ["scheduler", "step_size"])
    assert len(grid) == len({str(cell.params) for cell in grid}) == 2 + 3


def test_a_combination_that_makes_no_sense_is_named() -> None:
    space = with_values(
        load_space("report_d"), {"hidden": "8-8,8-8-8", "dropout": "[0.1,0.2],0.3"}
    )
    assert refusal(space, "hidden", "dropout").splitlines() == [
        "hidden 8-8-8, dropout 0.1-0.2 cannot be trained:",
        "  - dropout = [0.1, 0.2] has 2 values for 3 hidden layers. Give one value, or 3.",
    ]


def test_more_configurations_than_can_be_trained_are_refused_uncounted() -> None:
    values = ",".join(map(str, range(2, 3002)))
    names = ["batch_size", "epochs", "step_size"]
    wide = with_values(CHEST_XRAY, dict.fromkeys(names, values))
    assert faults(wide, *names) == ["It has 27,000,000,000 configurations. The limit is 10,000."]
