"""TrainingConfig: accepted values, messages, and which two are the same training."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.config import TrainingConfig
from hpo.errors import ConfigError

BASE = TrainingConfig()
OTHERS = {"focal_gamma": 3.0, "momentum": 0.3, "step_size": 7, "gamma": 0.7, "power": 3.0}
SOME_VALUES: dict[str, list[Any]] = {
    "hidden": [8, [64, 32, 16], [4, 4, 4]],
    "loss": ["bce", "ce", "focal"],
    "optimizer": ["adam", "sgd", "rmsprop"],
    "scheduler": ["none", "step", "multistep", "polynomial", "plateau"],
    "dropout": [0, 0.25],
    "milestones": [3, [1, 2, 5]],
    "epochs": [3, 4.0],
    "augment_stretch": [0, 0.1],
    "batch_norm": [True, False],
    "normalize": ["unit", "image"],
}
some_fields = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in SOME_VALUES.items()}
)


def faults(**fields: Any) -> list[str]:
    with pytest.raises(ConfigError, match=r"^The configuration is invalid:\n") as caught:
        TrainingConfig(**fields)
    assert "pydantic" not in str(caught.value)
    return caught.value.faults


@given(some_fields, st.sampled_from(sorted(OTHERS)))
def test_a_configuration_round_trips_and_its_active_fields_identify_it(
    fields: dict[str, Any], name: str
) -> None:
    config = TrainingConfig.from_mapping(fields)
    again = TrainingConfig.from_mapping(json.loads(json.dumps(config.to_mapping())))
    assert again == config
    turned = TrainingConfig.from_mapping(dict(reversed(config.to_mapping().items())))
    assert turned.identity() == again.identity() == config.identity()
    changed = config.replace(**{name: OTHERS[name]})
    assert (changed.identity() != config.identity()) == (name in config.active_fields())


def test_the_identity_matches_existing_run_stores() -> None:
    assert BASE.identity() == (
        '{"activation":"relu","augment_exposure":0.0,"augment_flip":false,"augment_pose":0.0,'
        '"batch_norm":true,"batch_size":32,"dropout":[0.5,0.5,0.5],"early_stopping":0,"epochs":30,'
        '"hidden":[64,64,64],"image_size":256,"label_smoothing":0.0,"learning_rate":0.001,'
        '"loss":"bce","normalize":"unit","optimizer":"adam","outputs":1,"scheduler":"none",'
        '"weight_decay":0.0}'
    )
    per_layer = BASE.replace(dropout=(0.5, 0.5, 0.5), outputs=1, power=2.0, step_size=3)
    assert per_layer != BASE
    assert per_layer.identity() == BASE.identity()


def test_all_faults_come_in_one_message() -> None:
    found = faults(batch_size=1, loss="bcee", dropout=[0.5, 1.5], momentun=0.9, lr=0.1)
    assert found[0] == "dropout must be below 1, but is 1.5."
    assert found[1].startswith("loss must be one of 'bce', 'ce', ")
    assert found[1].endswith('but is "bcee".')
    assert found[2:] == [
        "batch_size must be at least 2, but is 1.",
        "Unknown hyperparameter 'momentun'. Did you mean momentum?",
        "Unknown hyperparameter 'lr'. Did you mean learning_rate?",
    ]


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("dropout", [0.5, 0.4], "dropout = [0.5, 0.4] has 2 values for 3 hidden layers."),
        ("dropout", [], "dropout must be a list with at least 1 value"),
        ("milestones", [5, 5], "milestones: The values must increase, but are [5, 5]."),
        ("hidden", [8] * 9, "hidden must be a list with at most 8 values"),
        ("hidden", [8, 5000], "hidden must be at most 4096, but is 5000."),
        ("hidden", "64", 'hidden must be a whole number, but is "64".'),
        ("epochs", 3.5, "epochs must be a whole number, but is 3.5."),
        ("epochs", True, "epochs must be a whole number, but is true."),
        ("batch_norm", 1, "batch_norm must be true or false, but is 1."),
        ("label_smoothing", 1.0000001, "label_smoothing must be below 1, but is 1.0000001."),
        *(
            ("learning_rate", value, "learning_rate must be a number, but is ")
            for value in (math.nan, math.inf, 10**400, True, None, "0.1", {})
        ),
        ("x" * 500, 1, "Unknown hyperparameter 'xxx"),
    ],
)
def test_a_fault_names_the_limit_and_the_value(field: str, value: object, fault: str) -> None:
    [found] = faults(**{field: value})
    assert found.startswith(fault)
    assert len(found) < 300


def test_whole_numbers_and_single_values_are_converted() -> None:
    config = TrainingConfig(learning_rate=1, epochs=3.0, hidden=8, batch_size=np.int64(4))  # type: ignore[arg-type]
    assert (type(config.learning_rate), type(config.epochs)) == (float, int)
    assert type(config.batch_size) is int
    assert (config.hidden, config.dropout_per_layer) == ((8,), (0.5,))
