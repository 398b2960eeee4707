"""Searched parameters and the configurations that they describe."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.config import Scalar
from hpo.errors import UsageError
from hpo.space import Parameter, Range, Space, complete, is_active, load_space, resolve

SpaceFrom = Callable[[str], Space]
CHEST_XRAY = load_space("chest_xray")


def labels(parameter: Parameter) -> st.SearchStrategy[Scalar]:
    if not isinstance(parameter, Range):
        return st.sampled_from(parameter.labels)
    numbers = st.integers if isinstance(parameter.low, int) else st.floats
    return numbers(parameter.low, parameter.high)


@st.composite
def searched_params(draw: st.DrawFn) -> dict[str, Scalar]:
    params: dict[str, Scalar] = {}
    for parameter in CHEST_XRAY.search:
        if is_active(parameter, params):
            params[parameter.name] = draw(labels(parameter))
    return params


@given(searched_params())
def test_parameters_make_the_configuration_that_holds_them(params: dict[str, Scalar]) -> None:
    config = resolve(CHEST_XRAY, params)
    assert (config.batch_norm, config.outputs) == (True, CHEST_XRAY.base.outputs)
    assert config.hidden == (params.pop("width"),) * int(params.pop("layers"))
    assert {name: getattr(config, name) for name in params} == params
    found = complete(CHEST_XRAY, params)
    assert found is not None
    assert {name: found.params[name] for name in params} == params


def test_layers_and_width_make_hidden() -> None:
    assert resolve(CHEST_XRAY, {"layers": 2}).hidden == (64, 64)
    assert resolve(CHEST_XRAY, {"width": 128}).hidden == (128, 128, 128)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"power": 1.0}, "power is not searched in the space chest_xray."),
        ({"width": 100}, "width = 100 is not among the searched values."),
        ({"layers": 9}, "layers = 9 is not among the searched values."),
        ({"dropout": 0.95}, "dropout = 0.95 is not among the searched values."),
    ],
)
def test_parameters_that_are_not_of_the_space_are_refused(
    params: dict[str, Scalar], message: str
) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        resolve(CHEST_XRAY, params)


def test_a_dropout_per_layer_fits_every_searched_number_of_layers(space_from: SpaceFrom) -> None:
    space = space_from("""
        [base]
        hidden = [8, 8]
        dropout = [0.1, 0.2]
        [search]
        layers = { low = 1, high = 3 }
    """)
    fitted = [(0.1,), (0.1, 0.2), (0.1, 0.2, 0.2)]
    assert [resolve(space, {"layers": n}).dropout for n in (1, 2, 3)] == fitted
    space = space_from("""
        [search]
        layers = { low = 1, high = 3 }
        dropout = { choices = [[0.1, 0.2], 0.5] }
    """)
    chosen = {"dropout": "0.1-0.2"}
    assert [resolve(space, chosen | {"layers": n}).dropout for n in (1, 2, 3)] == fitted


def test_a_search_begins_with_the_base_where_its_ranges_hold_it(space_from: SpaceFrom) -> None:
    space = space_from("""
        [base]
        batch_norm = false
        early_stopping = 0
        dropout = [0.5, 0.5, 0.5]
        [search]
        batch_norm = { choices = [true, false] }
        early_stopping = { low = 0, high = 5 }
        dropout = { low = 0, high = 0.9 }
    """)
    first = complete(space, {})
    assert first is not None
    assert first.params == {"batch_norm": False, "dropout": 0.5, "early_stopping": 0}
    assert first.config.identity() == space.base.identity()
    other = space_from("[base]\nloss = 'ce'\n[search]\nloss = { choices = ['bce'] }")
    assert complete(other, {}) is None


@pytest.mark.parametrize(
    ("batch_size", "first"),
    [(100, 128), (90, 64), (96, 64), (65, 64), (200, 192), (300, 256), (2, 64), (192, 192)],
)
def test_a_search_begins_at_the_step_that_is_nearest_to_the_base(
    space_from: SpaceFrom, batch_size: int, first: int
) -> None:
    space = space_from(f"""
        [base]
        batch_size = {batch_size}
        [search]
        batch_size = {{ low = 64, high = 256, step = 64 }}
    """)
    cell = complete(space, {})
    assert cell is not None
    assert (cell.params, cell.config.batch_size) == ({"batch_size": first}, first)


def test_what_was_asked_for_is_completed_or_refused() -> None:
    cell = complete(CHEST_XRAY, {"layers": 2, "momentum": 0.5})
    assert cell is not None
    assert (cell.config.hidden, "momentum" in cell.params) == ((64, 64), False)
    assert complete(CHEST_XRAY, {"power": 1.0}) is None
    assert complete(CHEST_XRAY, {"layers": 9}) is None
