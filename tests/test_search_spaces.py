"""The space files that come with hpo, against what the reports say."""

from pathlib import Path

import pytest

from hpo.space import cells, complete, load_space, resolve, space_names

FILES = sorted((Path(__file__).parents[1] / "search_spaces").glob("*.toml"))

LOSSES, BATCHES = ("bce", "ce"), (32, 64, 128)
ONE_LAYER = "256 (batch_norm=false, dropout=0)"
REPORTS = {
    "report_a": {
        "loss": LOSSES,
        "epochs": (15, 30, 100),
        "hidden": (ONE_LAYER, "64-64", "64-64-64"),
    },
    "report_b": {
        "loss": LOSSES,
        "scheduler": ("cosine", "step", "polynomial"),
        "activation": ("relu", "leaky_relu", "sigmoid"),
    },
    "report_c": {"loss": LOSSES, "batch_size": BATCHES, "step_size": (5, 10, 20)},
    "report_d": {"learning_rate": (0.001, 0.01, 0.1), "batch_size": BATCHES, "loss": LOSSES},
    "report_e": {
        "epochs": (20, 40, 80),
        "batch_size": BATCHES,
        "learning_rate": (0.1, 0.01, 0.001),
        "loss": ("ce", "focal", "l1", "mse", "smooth_l1"),
    },
}


def test_the_sweeps_of_the_reports_have_their_values() -> None:
    found = {
        name: {sweep.name: sweep.labels for sweep in load_space(name).sweeps.values()}
        for name in space_names()
        if "report" in name
    }
    assert found == REPORTS


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ("report_a", {"hidden": (64, 64, 64), "dropout": 0.5, "epochs": 100, "batch_size": 32}),
        ("report_b", {"hidden": (512, 256, 256), "dropout": (0.9, 0.9, 0.8), "epochs": 40}),
        ("report_b", {"scheduler": "cosine", "learning_rate": 1e-3, "power": 1.0, "loss": "bce"}),
        ("report_c", {"hidden": (128, 128, 128), "activation": "leaky_relu", "batch_size": 32}),
        ("report_c", {"scheduler": "step", "step_size": 10, "gamma": 0.1, "epochs": 30}),
        ("report_d", {"hidden": (64, 64, 64), "dropout": 0.5, "epochs": 30}),
        ("report_e", {"outputs": 2, "learning_rate": 0.01, "epochs": 20, "optimizer": "sgd"}),
        ("report_e", {"hidden": (64, 64, 64), "momentum": 0.9, "batch_size": 32}),
        ("chest_xray", {"hidden": (64, 64, 64), "dropout": 0.5, "batch_norm": True}),
        ("chest_xray", {"epochs": 30, "image_size": 256, "scheduler": "none", "loss": "bce"}),
    ],
)
def test_a_base_is_as_its_report_says(report: str, said: dict[str, object]) -> None:
    fields = load_space(report).base.to_mapping()
    assert {name: fields[name] for name in said} == said


@pytest.mark.parametrize("name", space_names())
def test_every_value_of_a_sweep_is_another_training_and_one_is_the_base(name: str) -> None:
    space = load_space(name)
    for sweep in space.sweeps.values():
        trainings = [cell.config.identity() for cell in cells(space, [sweep.name])]
        assert len(set(trainings)) == len(trainings) == len(sweep.values) >= 2
        assert space.base.replace(**sweep.set).identity() in trainings


def test_the_default_space_covers_the_reports_and_what_the_images_are_changed_by() -> None:
    space = load_space("chest_xray")
    assert {len(sweep.values) for sweep in space.sweeps.values()} == {3}
    assert {"batch_size", "learning_rate", "epochs", "loss", "hidden"} <= space.sweeps.keys()
    of_images = {"image_size", "normalize", "augment_pose", "augment_stretch", "augment_exposure"}
    of_reports = {"batch_size", "learning_rate", "epochs", "loss", "layers", "width", "dropout"}
    of_reports |= {"activation", "scheduler", "step_size", "gamma"}
    assert of_images | of_reports <= {parameter.name for parameter in space.search}
    first = complete(space, {})
    moved = {"image_size": 64, "augment_pose": 0.05, "augment_stretch": 0.1, "align": "template"}
    assert first is not None
    assert first.config.identity() == space.base.replace(**moved).identity()
    assert resolve(space, first.params) == first.config


def test_report_c_alone_has_a_search_and_it_holds_the_winner_found_by_hand() -> None:
    assert [name for name in REPORTS if load_space(name).search] == ["report_c"]
    by_hand = {"batch_size": 128, "step_size": 3, "learning_rate": 1e-6, "loss": "ce"}
    winner = complete(load_space("report_c"), by_hand)
    assert winner is not None
    assert winner.params == by_hand


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_of_a_file_says_where_it_comes_from(path: Path) -> None:
    section, unmarked = "", []
    for line in path.read_text().splitlines():
        section = line.split("#")[0].strip() if line.startswith("[") else section
        code, _, comment = line.partition("#")
        is_value = "=" in code and not code.strip().endswith("[") and section != "[search]"
        if is_value and not any(mark in comment for mark in ("said", "inferred", "assumed")):
            unmarked.append(line)
    assert unmarked == []
