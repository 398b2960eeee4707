from collections.abc import Callable

import pytest

from hpo.space import Choices, FloatRange, IntRange, Parameter, Space, SweepValue

SpaceFrom = Callable[[str], Space]

DESIGN = """
    [base]
    hidden = [64, 64, 64]
    [sweep]
    batch_size = [32, 64, 128]
    [sweep.hidden]
    values = [{ hidden = [256], batch_norm = false, dropout = 0.0 }, [64, 64], [64, 64, 64]]
    set = { epochs = 30 }
    [search]
    learning_rate = { low = 1e-6, high = 1e-1, log = true }
    layers = { low = 1, high = 3 }
    width = { choices = [32, 64, 128, 256, 512] }
    scheduler = { choices = ["none", "cosine", "step", "multistep", "polynomial", "plateau"] }
    step_size = { low = 1, high = 30, when = { scheduler = "step" } }
"""


def test_base_has_the_documented_defaults_where_the_file_is_silent(space_from: SpaceFrom) -> None:
    base = space_from("[base]\nepochs = 12\n").base
    assert (base.epochs, base.batch_size, base.optimizer) == (12, 32, "adam")


def test_layers_and_width_write_hidden(space_from: SpaceFrom) -> None:
    assert space_from("[base]\nlayers = 2\nwidth = 8\n").base.hidden == (8, 8)
    assert space_from("[base]\nlayers = 2\n").base.hidden == (64, 64)
    assert space_from("[base]\nwidth = 8\n").base.hidden == (8, 8, 8)


def test_a_sweep_in_its_short_form_has_plain_labels(space_from: SpaceFrom) -> None:
    sweep = space_from(DESIGN).sweeps["batch_size"]
    assert sweep.labels == (32, 64, 128)
    assert sweep.values[1] == SweepValue(64, (("batch_size", 64),))
    assert sweep.set == ()


def test_a_sweep_in_its_long_form_sets_further_fields(space_from: SpaceFrom) -> None:
    sweep = space_from(DESIGN).sweeps["hidden"]
    assert sweep.labels == ("256 (batch_norm=false, dropout=0)", "64-64", "64-64-64")
    first = (("hidden", (256,)), ("batch_norm", False), ("dropout", 0.0))
    assert sweep.values[0].fields == first
    assert sweep.set == (("epochs", 30),)


def test_a_label_says_all_that_a_value_sets_in_one_order(space_from: SpaceFrom) -> None:
    text = "[sweep]\nloss = [{ learning_rate = 0.1, loss = 'ce', batch_size = 8 }, 'bce']\n"
    labels = space_from(text).sweeps["loss"].labels
    assert labels == ("ce (learning_rate=0.1, batch_size=8)", "bce")


@pytest.mark.parametrize(
    ("sweep", "labels"),
    [
        ("hidden = [64, [64, 64]]", ("64", "64-64")),
        ("dropout = [0.5, [0.5, 0.4, 1e-7]]", (0.5, "0.5-0.4-1e-07")),
        ("milestones = [[10, 20], 15]", ("10-20", "15")),
        ("batch_norm = [true, false]", (True, False)),
        ("learning_rate = [1, 0.1]", (1.0, 0.1)),
    ],
)
def test_lists_become_text_and_scalars_stay(
    space_from: SpaceFrom, sweep: str, labels: tuple[object, ...]
) -> None:
    [found] = space_from(f"[sweep]\n{sweep}\n").sweeps.values()
    assert found.labels == labels
    assert [type(label) for label in found.labels] == [type(label) for label in labels]


def test_ranges_choices_and_conditions_are_read(space_from: SpaceFrom) -> None:
    assert space_from(DESIGN).search == (
        Parameter("layers", IntRange(1, 3)),
        Parameter("width", Choices((32, 64, 128, 256, 512))),
        Parameter("learning_rate", FloatRange(1e-6, 0.1, log=True)),
        Parameter(
            "scheduler",
            Choices(("none", "cosine", "step", "multistep", "polynomial", "plateau")),
        ),
        Parameter("step_size", IntRange(1, 30), when=(("scheduler", ("step",)),)),
    )


def test_a_parameter_comes_after_those_its_conditions_name(space_from: SpaceFrom) -> None:
    search = space_from("""
        [search]
        layers = { low = 1, high = 3, when = { width = [8, 9] } }
        width = { low = 1, high = 9, when = { batch_size = 4 } }
        batch_size = { choices = [4, 8] }
    """).search
    assert [parameter.name for parameter in search] == ["batch_size", "width", "layers"]


def test_a_condition_takes_a_value_or_a_list_and_all_must_hold(space_from: SpaceFrom) -> None:
    search = space_from("""
        [search]
        loss = { choices = ["ce", "focal"] }
        layers = { low = 1, high = 3 }
        focal_gamma = { low = 0, high = 5, when = { loss = "focal", layers = [3, 2] } }
    """).search
    focal_gamma = next(p for p in search if p.name == "focal_gamma")
    assert focal_gamma.when == (("layers", (2, 3)), ("loss", ("focal",)))
    assert focal_gamma.is_active({"layers": 2, "loss": "focal"})
    assert not focal_gamma.is_active({"layers": 1, "loss": "focal"})
    assert not focal_gamma.is_active({"layers": 2})


def test_choices_may_be_lists_with_text_as_labels(space_from: SpaceFrom) -> None:
    search = space_from("""
        [search]
        hidden = { choices = [[64, 64], 128] }
        batch_norm = { choices = [true, false], when = { hidden = "64-64" } }
    """).search
    hidden, batch_norm = search
    assert hidden.domain == Choices(((64, 64), (128,)))
    assert hidden.domain.labels == ("64-64", "128")
    assert batch_norm.when == (("hidden", ("64-64",)),)


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (IntRange(2, 8, step=3), [2, 5, 8], [1, 3, 9, 5.0, True, "5"]),
        (FloatRange(0.5, 1.0), [0.5, 1, 0.75], [0.4, 1.1, True, "0.5"]),
        (Choices(("a", (1, 2))), ["a", "1-2"], ["b", 1, "1"]),
    ],
)
def test_a_domain_knows_what_it_contains(
    domain: IntRange | FloatRange | Choices, inside: list[object], outside: list[object]
) -> None:
    assert [label for label in inside if not domain.contains(label)] == []  # type: ignore[arg-type]
    assert [label for label in outside if domain.contains(label)] == []  # type: ignore[arg-type]
