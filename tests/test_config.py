import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.config import FIELDS, FieldSpec, TrainingConfig, Value, describe, did_you_mean
from hpo.errors import ConfigError

BASE = TrainingConfig()

NUMBERS = st.integers(-10, 70_000) | st.floats(-2, 12) | st.floats()
ANYTHING = (
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.lists(NUMBERS, max_size=3)
)


def allowed(spec: FieldSpec) -> st.SearchStrategy[Any]:
    """Return single values that the field takes."""
    if spec.kind is bool:
        return st.booleans()
    if spec.choices:
        return st.sampled_from(spec.choices)
    if spec.kind is int:
        return st.integers(int(spec.low), int(spec.high))
    return st.floats(spec.low, spec.high, exclude_min=spec.above_low, exclude_max=spec.below_high)


@st.composite
def configurations(draw: st.DrawFn) -> TrainingConfig:
    names = draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=6))
    fields = {name: draw(allowed(FIELDS[name])) for name in names}
    hidden = draw(st.lists(allowed(FIELDS["hidden"]), min_size=1, max_size=4))
    if "dropout" in fields and draw(st.booleans()):
        fields["dropout"] = [draw(allowed(FIELDS["dropout"])) for _ in hidden]
    if "milestones" in fields:
        fields["milestones"] = sorted(draw(st.sets(st.integers(1, 99), min_size=1, max_size=4)))
    return TrainingConfig.from_mapping(fields | {"hidden": hidden})


def faults(**fields: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        TrainingConfig.from_mapping(fields)
    summary, *lines = str(caught.value).splitlines()
    assert summary == "The configuration cannot be used:"
    return [line.removeprefix("  - ") for line in lines]


def outcome(read: Callable[[Any], Value], raw: Any) -> tuple[Value | None, str | None]:
    """Return what was read, or why it was not."""
    try:
        return read(raw), None
    except ValueError as problem:
        return None, str(problem)


@given(configurations())
def test_a_configuration_comes_back_from_json(config: TrainingConfig) -> None:
    assert TrainingConfig.from_mapping(json.loads(json.dumps(config.to_mapping()))) == config


@given(configurations())
def test_equal_configurations_are_the_same_training(config: TrainingConfig) -> None:
    again = TrainingConfig.from_mapping(dict(reversed(config.to_mapping().items())))
    assert again.identity() == config.identity()


@given(configurations(), st.data())
def test_a_field_changes_the_training_exactly_if_it_is_active(
    config: TrainingConfig, data: st.DataObject
) -> None:
    conditional = ["focal_gamma", "momentum", "step_size", "gamma", "power"]
    name = data.draw(st.sampled_from(conditional))
    value = data.draw(allowed(FIELDS[name]).filter(lambda value: value != getattr(config, name)))
    changed = config.replace(**{name: value})
    assert (changed.identity() != config.identity()) == (name in config.active_fields())


@given(st.sampled_from(sorted(FIELDS)), ANYTHING)
def test_a_field_reads_a_value_canonically_or_says_what_it_takes(name: str, value: Any) -> None:
    spec = FIELDS[name]
    read, problem = outcome(spec.read, value)
    assert problem is None or problem.startswith(f"takes {spec.allowed}, but got ")
    assert problem is not None or spec.read(read) == read


@given(st.sampled_from(sorted(FIELDS)), st.text(max_size=12))
def test_any_text_is_parsed_or_refused_by_one_message(name: str, text: str) -> None:
    spec = FIELDS[name]
    value, problem = outcome(spec.parse, text)
    assert problem is None or problem.startswith(f"takes {spec.allowed}, but got ")
    assert problem is not None or spec.read(value) == value


@given(st.sampled_from(sorted(FIELDS)), st.data())
def test_what_a_space_file_would_write_is_parsed_back(name: str, data: st.DataObject) -> None:
    spec = FIELDS[name]
    value = spec.read(data.draw(allowed(spec)))
    assert spec.parse(describe(value).strip('"')) == value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("hidden", "64", (64,)),
        ("hidden", "64-64-64", (64, 64, 64)),
        ("hidden", "[64, 32]", (64, 32)),
        ("hidden", "64,32", (64, 32)),
        ("dropout", "0.5", 0.5),
        ("dropout", "0.9-0.9-0.8", (0.9, 0.9, 0.8)),
        ("dropout", "1e-1-1e-2", (0.1, 0.01)),
        ("dropout", "[0.5]", (0.5,)),
        ("milestones", "10-20", (10, 20)),
        ("batch_norm", "True", True),
        ("learning_rate", "1e-4", 1e-4),
        ("learning_rate", "1", 1.0),
        ("epochs", "30.0", 30),
    ],
)
def test_a_value_is_written_on_the_command_line(name: str, text: str, value: Value) -> None:
    found = FIELDS[name].parse(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hidden", ""),
        ("hidden", "-5"),
        ("hidden", "64--64"),
        ("hidden", "64-"),
        ("hidden", "64,,64"),
        ("hidden", "[64"),
        ("hidden", "[]"),
        ("hidden", "64-64.5"),
        ("dropout", "0.5-"),
        ("dropout", "-0.5"),
        ("dropout", "nan"),
        ("dropout", "1"),
        ("learning_rate", "inf"),
        ("learning_rate", "0"),
        ("epochs", "3,4"),
        ("epochs", "3.5"),
        ("epochs", "true"),
        ("batch_norm", "1"),
        ("loss", "BCE"),
    ],
)
def test_a_text_that_is_no_value_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"^takes "):
        FIELDS[name].parse(text)


def test_all_faults_come_in_one_message() -> None:
    assert faults(batch_size=1, loss="bcee", dropout=[0.5, 1.5], momentun=0.9) == [
        "dropout takes a number or a list of them from 0 below 1, but got 1.5",
        'loss takes one of bce, ce, focal, l1, mse, smooth_l1, but got "bcee"',
        "batch_size takes a whole number from 2 to 65536, but got 1",
        "Unknown hyperparameter 'momentun'. Did you mean momentum?",
    ]


def test_fields_that_contradict_each_other_are_refused() -> None:
    assert faults(dropout=[0.5, 0.4]) == [
        "dropout = [0.5, 0.4] has 2 values for 3 hidden layers: give one value, or 3"
    ]
    assert faults(milestones=[5, 5]) == ["milestones = [5, 5] must rise from one to the next"]


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, True, None, "0.1", {}])
def test_what_is_no_number_is_refused(value: object) -> None:
    [fault] = faults(learning_rate=value)
    assert fault.startswith("learning_rate takes a number above 0 to 10, but got ")


def test_a_bound_is_not_rounded_away_in_a_message() -> None:
    [fault] = faults(label_smoothing=1.0000001)
    assert fault.endswith("but got 1.0000001")


@pytest.mark.parametrize(
    ("loss", "outputs", "n_outputs"),
    [("bce", 0, 1), ("ce", 0, 2), ("mse", 0, 2), ("bce", 2, 2), ("ce", 1, 1)],
)
def test_the_number_of_outputs_follows_the_loss(loss: str, outputs: int, n_outputs: int) -> None:
    assert BASE.replace(loss=loss, outputs=outputs).n_outputs == n_outputs


def test_spellings_of_one_training_have_one_identity() -> None:
    per_layer = BASE.replace(dropout=(0.5, 0.5, 0.5), outputs=1, power=2.0, step_size=3)
    assert per_layer != BASE
    assert per_layer.identity() == BASE.identity()
    assert BASE.replace(dropout=0.4).identity() != BASE.identity()


def test_one_dropout_holds_for_every_layer() -> None:
    assert BASE.replace(hidden=(8, 8)).dropout_per_layer == (0.5, 0.5)
    assert BASE.replace(dropout=(0.1, 0.2, 0.3)).dropout_per_layer == (0.1, 0.2, 0.3)


def test_a_whole_number_is_taken_for_a_number() -> None:
    config = TrainingConfig(learning_rate=1, epochs=3.0)  # type: ignore[arg-type]
    assert (type(config.learning_rate), type(config.epochs)) == (float, int)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        ("relu", '"relu"'),
        ((64, 64), "[64, 64]"),
        (0.1, "0.1"),
        (1e-6, "1e-06"),
        (0.0, "0"),
        (0.123456789, "0.123456789"),
        (None, "None"),
    ],
)
def test_values_are_described_as_a_space_file_writes_them(value: object, text: str) -> None:
    assert describe(value) == text


def test_the_nearest_name_is_shown_or_all() -> None:
    assert did_you_mean("learing_rate", FIELDS) == ": did you mean learning_rate?"
    assert did_you_mean("x", ["epochs", "loss"]) == "; there are: epochs, loss"
    assert did_you_mean("x", []) == ""


def test_every_field_says_what_it_means_and_what_it_takes() -> None:
    for name, spec in FIELDS.items():
        assert spec.help, name
        assert spec.read(getattr(BASE, name)) == getattr(BASE, name)
    assert FIELDS["hidden"].allowed == "a list of 1 to 8 whole numbers from 1 to 4096"
    assert FIELDS["dropout"].allowed == "a number or a list of them from 0 below 1"
