"""The cells of a grid, why a grid cannot be trained, and what searched parameters describe."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.config import Scalar
from hpo.errors import UsageError
from hpo.space import (
    Parameter,
    Range,
    Space,
    cells,
    complete,
    is_active,
    load_space,
    n_combinations,
    override,
    resolve,
    with_values,
)
from tests.space.conftest import SpaceFrom

CHEST_XRAY = load_space("chest_xray")
REPORT_A = load_space("report_a")


def refusal(space: Space, *names: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        cells(space, names)
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()]


def values_of(space: Space, names: Sequence[str]) -> list[tuple[object, ...]]:
    return [tuple(cell.params.values()) for cell in cells(space, names)]


def test_several_sweeps_make_a_product_and_the_first_varies_slowest() -> None:
    found = values_of(CHEST_XRAY, ["loss", "batch_size"])
    assert found[:4] == [("bce", 32), ("bce", 64), ("bce", 128), ("ce", 32)]
    assert len(found) == len(set(found)) == 9
    assert [cell.config for cell in cells(CHEST_XRAY, ["batch_size"])] == [
        CHEST_XRAY.base.replace(batch_size=size) for size in (32, 64, 128)
    ]


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
    assert refusal(REPORT_A) == [
        "Name what to vary, as in `hpo grid batch_size`. The space report_a prescribes values "
        "for:",
        "hidden: 256 (batch_norm=false, dropout=0), 64-64, 64-64-64",
        "loss: bce, ce",
        "epochs: 15, 30, 100",
    ]
    assert "--values NAME=V,V,V" in refusal(space_from(""))[0]


FIXED = override(override(CHEST_XRAY, {"loss": "ce"}), {}, epochs=10)


@pytest.mark.parametrize(
    ("space", "names", "fault"),
    [
        (REPORT_A, ["batchsize"], "Unknown hyperparameter 'batchsize'. Did you mean batch_size?"),
        (REPORT_A, ["gamma"], "--param gamma has no prescribed values. Add --values gamma=V,V,V."),
        (REPORT_A, ["loss=ce"], "--param takes a name only. Use --param loss --values ce."),
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
        (
            with_values(load_space("report_d"), {"hidden": "8,8-8", "dropout": "[0.1,0.2],0.3"}),
            ["hidden", "dropout"],
            "dropout = [0.1, 0.2] has 2 values for 1 hidden layers. Give one value, or 1.",
        ),
        (
            with_values(CHEST_XRAY, {"batch_size": ",".join(map(str, range(2, 10_003)))}),
            ["batch_size"],
            "It has 10,001 configurations. The limit is 10,000.",
        ),
    ],
)
def test_a_grid_that_cannot_be_trained_is_refused(
    space: Space, names: list[str], fault: str
) -> None:
    [_, found] = refusal(space, *names)
    assert found.startswith(fault)


def test_what_two_sweeps_set_must_fit_together(space_from: SpaceFrom) -> None:
    space = space_from(
        "[base]\nhidden = [8, 8, 8]\n"
        '[sweep.loss]\nvalues = ["bce"]\nset = { hidden = [8, 8] }\n'
        "[sweep.batch_size]\nvalues = [16]\nset = { dropout = [0.1, 0.1, 0.1] }\n"
    )
    with pytest.raises(UsageError, match=r"batch_size 16 cannot be trained:\n"):
        cells(space, ["loss", "batch_size"])


def test_what_is_fixed_hinders_no_other_sweep() -> None:
    assert len(refusal(FIXED, "loss", "epochs")) == 3
    assert [cell.config.loss for cell in cells(FIXED, ["batch_size"])] == ["ce"] * 3
    fixed = override(CHEST_XRAY, {"scheduler": "multistep"})
    assert len(cells(fixed, ["gamma", "milestones"])) == 9


def test_combinations_that_are_one_training_are_one_cell(space_from: SpaceFrom) -> None:
    grid = cells(CHEST_XRAY, ["scheduler", "step_size"])
    assert [(cell.ordinal, cell.params) for cell in grid] == [
        (0, {"scheduler": "none"}),
        (3, {"scheduler": "cosine"}),
        (6, {"scheduler": "step", "step_size": 5}),
        (7, {"scheduler": "step", "step_size": 10}),
        (8, {"scheduler": "step", "step_size": 20}),
    ]
    assert n_combinations(CHEST_XRAY, ["scheduler", "step_size"]) == 9
    assert values_of(with_values(CHEST_XRAY, {"outputs": "0,1,2"}), ["outputs"]) == [(0,), (2,)]
    # A value that sets more than its own field makes another training.
    space = space_from("""
        [sweep]
        scheduler = ["none", "step"]
        step_size = [5, 10, { step_size = 5, batch_size = 64 }]
    """)
    assert len(cells(space, ["scheduler", "step_size"])) == 2 + 3


def labels(parameter: Parameter) -> st.SearchStrategy[Scalar]:
    if not isinstance(parameter, Range):
        return st.sampled_from(parameter.labels)
    numbers = st.integers if isinstance(parameter.low, int) else st.floats
    return numbers(parameter.low, parameter.high)


@given(st.data())
def test_parameters_make_the_configuration_that_holds_them(data: st.DataObject) -> None:
    params: dict[str, Scalar] = {}
    for parameter in CHEST_XRAY.search:
        if is_active(parameter, params):
            params[parameter.name] = data.draw(labels(parameter))
    config, found = resolve(CHEST_XRAY, params), complete(CHEST_XRAY, params)
    assert found is not None
    assert found.params == params
    assert config.hidden == (params.pop("width"),) * int(params.pop("layers"))
    assert {name: getattr(config, name) for name in params} == params
    assert config.outputs == CHEST_XRAY.base.outputs


def test_parameters_that_are_not_of_the_space_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^power is not searched in the space chest_xray\.$"):
        resolve(CHEST_XRAY, {"power": 1.0})
    with pytest.raises(UsageError, match=r"^width = 100 is not among the searched values\.$"):
        resolve(CHEST_XRAY, {"width": 100})


def test_a_dropout_per_layer_fits_every_searched_number_of_layers(space_from: SpaceFrom) -> None:
    search = "[search]\nlayers = { low = 1, high = 3 }\n"
    of_base = space_from("[base]\nhidden = [8, 8]\ndropout = [0.1, 0.2]\n" + search)
    chosen = space_from(search + "dropout = { choices = [[0.1, 0.2], 0.5] }")
    for n, fitted in ((1, (0.1,)), (2, (0.1, 0.2)), (3, (0.1, 0.2, 0.2))):
        assert resolve(of_base, {"layers": n}).dropout == fitted
        assert resolve(chosen, {"layers": n, "dropout": "0.1-0.2"}).dropout == fitted


def test_a_search_begins_with_the_base_where_its_ranges_hold_it(space_from: SpaceFrom) -> None:
    space = space_from("""
        [base]
        batch_norm = false
        dropout = [0.5, 0.5, 0.5]
        [search]
        batch_norm = { choices = [true, false] }
        dropout = { low = 0, high = 0.9 }
    """)
    first = complete(space, {})
    assert first is not None
    assert first.params == {"batch_norm": False, "dropout": 0.5}
    assert first.config.identity() == space.base.identity()
    other = "[base]\nloss = 'ce'\n[search]\nloss = { choices = [%s] }"
    assert complete(space_from(other % "'bce', 'focal'"), {}) is None
    only = complete(space_from(other % "'bce'"), {})
    assert only is not None
    assert only.config.loss == "bce"


@pytest.mark.parametrize(
    ("batch_size", "first"), [(100, 128), (96, 64), (200, 192), (300, 256), (2, 64)]
)
def test_a_search_begins_at_the_step_that_is_nearest_to_the_base(
    space_from: SpaceFrom, batch_size: int, first: int
) -> None:
    search = "[search]\nbatch_size = { low = 64, high = 256, step = 64 }"
    cell = complete(space_from(f"[base]\nbatch_size = {batch_size}\n{search}"), {})
    assert cell is not None
    assert (cell.params, cell.config.batch_size) == ({"batch_size": first}, first)


def test_what_was_asked_for_is_completed_or_refused() -> None:
    cell = complete(CHEST_XRAY, {"layers": 2, "momentum": 0.5})
    assert cell is not None
    assert (cell.config.hidden, "momentum" in cell.params) == ((64, 64), False)
    assert complete(CHEST_XRAY, {"power": 1.0}) is None
    assert complete(CHEST_XRAY, {"layers": 9}) is None
