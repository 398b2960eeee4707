"""The space files that come with the toolkit, against what the reports say."""

from pathlib import Path

import pytest

from hpo.space import (
    Cell,
    cells,
    first_cell,
    load_space,
    override,
    params_of,
    resolve,
    space_names,
    with_values,
)

ROOT = Path(__file__).parents[1]
REPORTS = {
    "report_a": {"loss", "epochs", "hidden"},
    "report_b": {"loss", "scheduler", "activation"},
    "report_c": {"loss", "batch_size", "step_size"},
    "report_d": {"learning_rate", "batch_size", "loss"},
    "report_e": {"epochs", "batch_size", "learning_rate", "loss"},
}
FILES = sorted((ROOT / "search_spaces").glob("*.toml"))
SWEEPS = [(name, sweep) for name in space_names() for sweep in load_space(name).sweeps]


def test_the_reports_have_sixteen_sweeps() -> None:
    found = {name: set(load_space(name).sweeps) for name in space_names() if "report" in name}
    assert found == REPORTS
    assert sum(len(sweeps) for sweeps in found.values()) == 16


def test_report_c_alone_has_a_search() -> None:
    searched = [name for name in REPORTS if load_space(name).search]
    assert searched == ["report_c"]
    names = {parameter.name for parameter in load_space("report_c").search}
    assert names == {"batch_size", "step_size", "learning_rate", "loss"}


@pytest.mark.parametrize(
    ("report", "sweep", "labels"),
    [
        ("report_a", "loss", ("bce", "ce")),
        ("report_a", "epochs", (15, 30, 100)),
        ("report_a", "hidden", ("256 (batch_norm=false, dropout=0)", "64-64", "64-64-64")),
        ("report_b", "loss", ("bce", "ce")),
        ("report_b", "scheduler", ("cosine", "step", "polynomial")),
        ("report_b", "activation", ("relu", "leaky_relu", "sigmoid")),
        ("report_c", "loss", ("bce", "ce")),
        ("report_c", "batch_size", (32, 64, 128)),
        ("report_c", "step_size", (5, 10, 20)),
        ("report_d", "learning_rate", (0.001, 0.01, 0.1)),
        ("report_d", "batch_size", (32, 64, 128)),
        ("report_d", "loss", ("bce", "ce")),
        ("report_e", "epochs", (20, 40, 80)),
        ("report_e", "batch_size", (32, 64, 128)),
        ("report_e", "learning_rate", (0.1, 0.01, 0.001)),
        ("report_e", "loss", ("ce", "focal", "l1", "mse", "smooth_l1")),
    ],
)
def test_a_sweep_has_the_values_of_its_report(
    report: str, sweep: str, labels: tuple[object, ...]
) -> None:
    assert load_space(report).sweeps[sweep].labels == labels


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
        ("chest_xray", {"batch_size": 32, "optimizer": "adam", "learning_rate": 1e-3}),
        ("chest_xray", {"epochs": 30, "image_size": 256, "scheduler": "none", "loss": "bce"}),
    ],
)
def test_a_base_is_as_its_report_says(report: str, said: dict[str, object]) -> None:
    fields = load_space(report).base.to_mapping()
    assert {name: fields[name] for name in said} == said


@pytest.mark.parametrize(
    ("report", "sweep", "field", "value"),
    [
        ("report_a", "hidden", "epochs", 30),
        ("report_a", "epochs", "loss", "bce"),
        ("report_c", "batch_size", "loss", "ce"),
        ("report_c", "step_size", "loss", "ce"),
        ("report_e", "loss", "n_outputs", 2),
    ],
)
def test_a_sweep_changes_the_base_as_its_report_says(
    report: str, sweep: str, field: str, value: object
) -> None:
    grid = cells(load_space(report), [sweep])
    assert {getattr(cell.config, field) for cell in grid} == {value}


def test_the_one_layer_network_of_report_a_differs_in_three_fields() -> None:
    config = cells(load_space("report_a"), ["hidden"])[0].config
    assert (config.hidden, config.batch_norm, config.dropout) == ((256,), False, 0.0)


@pytest.mark.parametrize(("name", "sweep"), SWEEPS)
def test_every_cell_of_every_sweep_is_another_training(name: str, sweep: str) -> None:
    trainings = [cell.config.identity() for cell in cells(load_space(name), [sweep])]
    assert len(set(trainings)) == len(trainings) >= 2


@pytest.mark.parametrize(("name", "sweep"), SWEEPS)
def test_the_base_of_a_sweep_is_one_of_its_values(name: str, sweep: str) -> None:
    space = load_space(name)
    base = space.base.replace(**dict(space.sweeps[sweep].set))
    assert base.identity() in [cell.config.identity() for cell in cells(space, [sweep])]


def test_the_default_space_prescribes_three_values_for_each_sweep() -> None:
    sweeps = load_space("chest_xray").sweeps
    assert {len(sweep.values) for sweep in sweeps.values()} == {3}
    assert {"batch_size", "learning_rate", "epochs", "loss", "hidden", "dropout"} <= set(sweeps)


def test_the_default_search_covers_the_reports_and_what_the_images_are_changed_by() -> None:
    search = load_space("chest_xray").search
    of_images = {"image_size", "normalize", "augment_pose", "augment_stretch", "augment_exposure"}
    of_reports = {"batch_size", "learning_rate", "epochs", "loss", "layers", "width", "dropout"}
    of_reports |= {"activation", "scheduler", "step_size", "gamma"}
    assert of_images | of_reports <= {parameter.name for parameter in search}
    assert sum(bool(parameter.when) for parameter in search) >= 3


def test_a_search_can_begin_with_the_base() -> None:
    space = load_space("report_c")
    assert first_cell(space) == Cell(params_of(space, space.base) or {}, space.base)


def test_the_default_search_begins_with_the_base_on_smaller_images_that_change() -> None:
    space = load_space("chest_xray")
    first = first_cell(space)
    moved = {"image_size": 64, "augment_pose": 0.05, "augment_stretch": 0.1}
    assert first is not None
    assert first.config.identity() == space.base.replace(**moved).identity()
    assert resolve(space, first.params) == first.config


def test_the_winner_that_report_c_found_by_hand_is_within_its_ranges() -> None:
    space = load_space("report_c")
    by_hand = {"batch_size": 128, "step_size": 3, "learning_rate": 1e-6, "loss": "ce"}
    assert params_of(space, resolve(space, by_hand)) == by_hand


@pytest.mark.parametrize(("name", "sweep"), [item for item in SWEEPS if item[1] != "epochs"])
def test_every_sweep_can_be_cut_to_two_epochs_and_two_values(name: str, sweep: str) -> None:
    space = load_space(name)
    first, second = space.sweeps[sweep].labels[-2:]
    short = override(with_values(space, {sweep: f"{first},{second}".lower()}), {}, epochs=2)
    assert [cell.config.epochs for cell in cells(short, [sweep])] == [2, 2]


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
