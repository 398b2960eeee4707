"""The cells of a grid, refused grids, and configurations of a search."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import ConfigError, UsageError
from hpo.space import (
    Range,
    Space,
    active,
    cells,
    complete,
    load_space,
    n_combinations,
    override,
    read_point,
    resolve,
    with_values,
)
from tests.conftest import assert_snapshot
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


def test_a_value_can_set_several_fields_and_set_changes_the_base() -> None:
    first, second, _ = cells(REPORT_A, ["hidden"])
    assert first.params == {"hidden": "256 (batch_norm=false, dropout=0)"}
    one_layer = {"hidden": (256,), "batch_norm": False, "dropout": 0.0}
    assert first.config == REPORT_A.base.replace(epochs=30, **one_layer)
    assert second.config == REPORT_A.base.replace(epochs=30, hidden=(64, 64))
    epochs = [cell.config.epochs for cell in cells(REPORT_A, ["hidden", "epochs"])]
    assert epochs == [15, 30, 100] * 3


def test_a_grid_that_cannot_be_trained_is_refused() -> None:
    report_d = load_space("report_d")
    grids = (
        (REPORT_A, ["batchsize"]),
        (REPORT_A, ["gamma"]),
        (REPORT_A, ["loss=ce"]),
        (REPORT_A, []),
        (CHEST_XRAY, ["layers", "hidden"]),
        (with_values(REPORT_A, {"dropout": "0.1,0.2"}), ["hidden", "dropout"]),
        (CHEST_XRAY, ["gamma", "milestones"]),
        (override(override(CHEST_XRAY, {"loss": "ce"}), {}, epochs=10), ["epochs", "loss"]),
        (override(REPORT_A, {"dropout": "0.1"}), ["hidden"]),
        (with_values(report_d, {"gamma": "0.1,0.5"}), ["gamma"]),
        (
            with_values(report_d, {"hidden": "8,8-8", "dropout": "[0.1,0.2],0.3"}),
            ["hidden", "dropout"],
        ),
        (
            with_values(CHEST_XRAY, {"batch_size": ",".join(map(str, range(2, 10_003)))}),
            ["batch_size"],
        ),
    )
    assert_snapshot("grids", (line for grid, names in grids for line in refusal(grid, *names)))


def test_equivalent_combinations_are_one_cell(space_from: SpaceFrom) -> None:
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
    # A value that also sets another field is a different training.
    space = space_from("""
        [sweep]
        scheduler = ["none", "step"]
        step_size = [5, 10, { step_size = 5, batch_size = 64 }]
    """)
    assert len(cells(space, ["scheduler", "step_size"])) == 2 + 3


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=20, max_size=20))
def test_a_point_gives_parameters_and_these_a_configuration(point: list[float]) -> None:
    every = {p.name: p.at(x) for p, x in zip(CHEST_XRAY.search, point, strict=True)}
    params = active(CHEST_XRAY, every)
    assert ("momentum" in params) == (every["optimizer"] == "sgd")
    config, found = resolve(CHEST_XRAY, params), complete(CHEST_XRAY, params)
    assert found is not None
    assert found.params == params
    assert config.hidden == (params.pop("width"),) * int(params.pop("layers"))
    assert {name: getattr(config, name) for name in params} == params
    assert config.outputs == CHEST_XRAY.base.outputs


def test_integers_on_a_log_scale_extend_halfway_to_their_neighbors() -> None:
    epochs = Range(name="epochs", low=1, high=4, log=True)
    found = [epochs.at((i + 0.5) / 1000) for i in range(1000)]
    assert found == sorted(found)
    assert [found.count(n) for n in (1, 2, 3, 4)] == [500, 232, 154, 114]
    rates = Range(name="learning_rate", low=1e-4, high=1e-2, log=True)
    assert rates.at(0.5) == pytest.approx(1e-3)


def test_per_layer_dropout_fits_every_searched_number_of_layers(space_from: SpaceFrom) -> None:
    search = "[search]\nlayers = { low = 1, high = 3 }\n"
    of_base = space_from("[base]\nhidden = [8, 8]\ndropout = [0.1, 0.2]\n" + search)
    chosen = space_from(search + "dropout = { choices = [[0.1, 0.2], 0.5] }")
    for n, fitted in ((1, (0.1,)), (2, (0.1, 0.2)), (3, (0.1, 0.2, 0.2))):
        assert resolve(of_base, {"layers": n}).dropout == fitted
        assert resolve(chosen, {"layers": n, "dropout": "0.1-0.2"}).dropout == fitted


def test_a_search_starts_with_the_base_if_its_ranges_contain_it(space_from: SpaceFrom) -> None:
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


def test_a_search_starts_at_the_step_nearest_to_the_base(space_from: SpaceFrom) -> None:
    search = "[search]\nbatch_size = { low = 64, high = 256, step = 64 }"
    for batch_size, first in ((100, 128), (96, 64), (300, 256), (2, 64)):
        cell = complete(space_from(f"[base]\nbatch_size = {batch_size}\n{search}"), {})
        assert cell is not None
        assert (cell.params, cell.config.batch_size) == ({"batch_size": first}, first)


def test_requested_parameters_are_completed_or_refused() -> None:
    cell = complete(CHEST_XRAY, {"layers": 2, "momentum": 0.5})
    assert cell is not None
    assert (cell.config.hidden, "momentum" in cell.params) == ((64, 64), False)
    assert complete(CHEST_XRAY, {"power": 1.0}) is None
    assert complete(CHEST_XRAY, {"layers": 9}) is None


def test_hidden_layers_are_read_as_results_print_them() -> None:
    for hidden in (64, [64]):
        params = read_point(CHEST_XRAY, {"hidden": hidden, "dropout": 0.2}).params
        assert (params["layers"], params["width"], params["dropout"]) == (1, 64, 0.2)
    assert read_point(CHEST_XRAY, {"hidden": [64, 64]}).params["layers"] == 2
    for hidden in ([64, 32], 0, "wide"):
        with pytest.raises(ConfigError, match="hidden is not searched"):
            read_point(CHEST_XRAY, {"hidden": hidden})
