from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.config import Scalar
from hpo.errors import UsageError
from hpo.space import (
    Choices,
    IntRange,
    Parameter,
    Space,
    first_cell,
    load_space,
    params_of,
    resolve,
)

SpaceFrom = Callable[[str], Space]
CHEST_XRAY = load_space("chest_xray")
_FIRST = first_cell(CHEST_XRAY)
assert _FIRST
FIRST = _FIRST


def labels(parameter: Parameter) -> st.SearchStrategy[Scalar]:
    domain = parameter.domain
    if isinstance(domain, Choices):
        return st.sampled_from(domain.labels)
    if isinstance(domain, IntRange):
        return st.integers(domain.low, domain.high)
    return st.floats(domain.low, domain.high)


@st.composite
def searched_params(draw: st.DrawFn) -> dict[str, Scalar]:
    params: dict[str, Scalar] = {}
    for parameter in CHEST_XRAY.search:
        if parameter.is_active(params):
            params[parameter.name] = draw(labels(parameter))
    return params


@given(searched_params())
def test_a_configuration_is_expressed_by_the_parameters_it_came_from(
    params: dict[str, Scalar],
) -> None:
    assert params_of(CHEST_XRAY, resolve(CHEST_XRAY, params)) == params


@given(searched_params())
def test_what_is_not_searched_stays_at_the_base(params: dict[str, Scalar]) -> None:
    config = resolve(CHEST_XRAY, params)
    assert (config.batch_norm, config.outputs) == (True, CHEST_XRAY.base.outputs)


def test_layers_and_width_make_hidden() -> None:
    assert resolve(CHEST_XRAY, {"layers": 2, "width": 128}).hidden == (128, 128)
    assert resolve(CHEST_XRAY, {"layers": 2}).hidden == (64, 64)
    assert resolve(CHEST_XRAY, {"width": 128}).hidden == (128, 128, 128)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"power": 1.0}, "power is not searched in the space chest_xray"),
        ({"width": 100}, "width takes one of 32, 64, 128, 256, 512, but got 100"),
        ({"layers": 9}, "layers takes a whole number from 1 to 3, but got 9"),
        ({"dropout": 0.95}, "dropout takes a number from 0 to 0.9, but got 0.95"),
    ],
)
def test_parameters_that_are_not_of_the_space_are_refused(
    params: dict[str, Scalar], message: str
) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        resolve(CHEST_XRAY, params)


def test_choices_of_lists_are_resolved_by_their_labels(space_from: SpaceFrom) -> None:
    space = space_from("""
        [search]
        hidden = { choices = [[8, 4], [8]] }
        dropout = { choices = [[0.1, 0.2], 0.5] }
    """)
    config = resolve(space, {"hidden": "8-4", "dropout": "0.1-0.2"})
    assert (config.hidden, config.dropout) == ((8, 4), (0.1, 0.2))
    assert params_of(space, config) == {"hidden": "8-4", "dropout": "0.1-0.2"}


def test_a_dropout_per_layer_fits_every_searched_number_of_layers(space_from: SpaceFrom) -> None:
    space = space_from("""
        [base]
        hidden = [8, 8]
        dropout = [0.1, 0.2]
        [search]
        layers = { low = 1, high = 3 }
    """)
    dropouts = [resolve(space, {"layers": layers}).dropout for layers in (1, 2, 3)]
    assert dropouts == [(0.1,), (0.1, 0.2), (0.1, 0.2, 0.2)]


def test_a_chosen_dropout_per_layer_fits_the_searched_number_of_layers(
    space_from: SpaceFrom,
) -> None:
    space = space_from("""
        [search]
        layers = { low = 1, high = 3 }
        dropout = { choices = [[0.1, 0.2], 0.5] }
    """)
    chosen = {"dropout": "0.1-0.2"}
    dropouts = [resolve(space, chosen | {"layers": layers}).dropout for layers in (1, 2, 3)]
    assert dropouts == [(0.1,), (0.1, 0.2), (0.1, 0.2, 0.2)]


def test_the_base_may_lie_outside_of_the_ranges(space_from: SpaceFrom) -> None:
    search = "[search]\nepochs = { low = 1, high = 9 }\n"
    assert params_of(space_from("[base]\nepochs = 30\n" + search), CHEST_XRAY.base) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": (512, 256, 256)},
        {"hidden": (64, 64), "dropout": (0.1, 0.2)},
        {"learning_rate": 1.0},
        {"loss": "mse"},
        {"scheduler": "step", "step_size": 9, "gamma": 0.05},
        {"optimizer": "rmsprop"},
    ],
)
def test_what_the_ranges_cannot_express_has_no_parameters(changes: dict[str, Scalar]) -> None:
    assert params_of(CHEST_XRAY, FIRST.config) == FIRST.params
    assert params_of(CHEST_XRAY, FIRST.config.replace(**changes)) is None


def test_one_dropout_written_per_layer_is_the_same_dropout() -> None:
    config = FIRST.config.replace(dropout=(0.5, 0.5, 0.5))
    assert params_of(CHEST_XRAY, config) == FIRST.params


def test_a_field_without_effect_does_not_count() -> None:
    config = FIRST.config.replace(power=3.0, step_size=7)
    assert params_of(CHEST_XRAY, config) == FIRST.params


def test_a_space_without_search_expresses_its_base_only() -> None:
    space = load_space("report_a")
    assert params_of(space, space.base) == {}
    assert params_of(space, space.base.replace(epochs=3)) is None


@pytest.mark.parametrize(
    ("batch_size", "first"),
    [(100, 128), (90, 64), (96, 64), (65, 64), (200, 192), (300, 256), (2, 64), (192, 192)],
)
def test_a_search_begins_at_the_step_that_is_nearest_to_the_base(
    space_from: SpaceFrom, batch_size: int, first: int
) -> None:
    space = space_from(
        f"""
        [base]
        batch_size = {batch_size}
        [search]
        batch_size = {{ low = 64, high = 256, step = 64 }}
        """
    )
    cell = first_cell(space)
    assert cell is not None
    assert cell.params == {"batch_size": first}
    assert cell.config.batch_size == first
