"""Space files: reading, all faults in one message, and round trips to documents."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hpo.space.files
from hpo.errors import SpaceError
from hpo.space import (
    Choices,
    Range,
    from_document,
    load_space,
    space_differences,
    space_names,
    to_document,
)
from tests.conftest import assert_snapshot
from tests.space.conftest import SpaceFrom

SHIPPED = ["chest_xray", "report_a", "report_b", "report_c", "report_d", "report_e"]

DESIGN = """
    [base]
    layers = 2
    width = 8
    [sweep]
    batch_size = [32, 64.0, 128]
    dropout = [0.5, [0.5, 1e-7]]
    loss = [{ learning_rate = 0.1, loss = "ce", batch_size = 8 }, "bce"]
    [sweep.hidden]
    values = [{ hidden = [256], batch_norm = false, dropout = 0.0 }, [64, 64], 64]
    set = { epochs = 30 }
    [search]
    learning_rate = { low = 1e-6, high = 1, log = true }
    width = { choices = [32, 64], when = { loss = ["focal", "ce"], scheduler = "step" } }
    step_size = { low = 1, high = 31, step = 10, when = { scheduler = "step" } }
    scheduler = { choices = ["none", "step"] }
    loss = { choices = ["ce", "focal"] }
    batch_norm = { choices = [true, false], when = { milestones = "10-20" } }
    milestones = { choices = [[10, 20], 15] }
"""


def faults(space_from: SpaceFrom, text: str) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        space_from(text)
    summary, *lines = str(caught.value).splitlines()
    assert summary.endswith("mine.toml is not valid:")
    return [line.removeprefix("  - ") for line in lines]


def test_labels_of_a_sweep_show_everything_a_value_sets(space_from: SpaceFrom) -> None:
    space = space_from(DESIGN)
    assert space.base.hidden == (8, 8)
    assert {name: sweep.labels for name, sweep in space.sweeps.items()} == {
        "hidden": ("256 (batch_norm=false, dropout=0)", "64-64", "64"),
        "dropout": (0.5, "0.5-1e-07"),
        "loss": ("ce (learning_rate=0.1, batch_size=8)", "bce"),
        "batch_size": (32, 64, 128),
    }
    assert space.sweeps["hidden"].set == {"epochs": 30}
    empty = space_from("")
    assert (empty.name, empty.sweeps, empty.search) == ("mine", {}, ())
    assert empty.base.hidden == (64, 64, 64)


def test_a_parameter_comes_after_those_it_depends_on(space_from: SpaceFrom) -> None:
    when = {"loss": ("ce", "focal"), "scheduler": ("step",)}
    assert space_from(DESIGN).search == (
        Choices(name="loss", choices=("ce", "focal")),
        Range(name="learning_rate", low=1e-6, high=1.0, log=True),
        Choices(name="scheduler", choices=("none", "step")),
        Choices(name="milestones", choices=((10, 20), (15,))),
        Choices(name="width", choices=(32, 64), when=when),
        Choices(name="batch_norm", choices=(True, False), when={"milestones": ("10-20",)}),
        Range(name="step_size", low=1, high=31, step=10, when={"scheduler": ("step",)}),
    )


WRONG = (
    "batch_size = 3",
    "[base]\nbatch_siz = 3",
    "[base]\nhidden = [8]\nwidth = 3",
    "[base]\ndropout = [0.1, 0.2]",
    "[sweep]\nepochs = [3, 3.0]",
    "[sweep]\nepochs = [3, 'x']",
    "[sweep]\nhidden = [64, 64]",
    "[sweep.hidden]\nvalues = [2]\nset = { width = 3 }",
    "[sweep]\nhidden = [{ dropout = 0.1 }]",
    "[bases]\nepochs = 3",
    "base = 3",
    "[base]\ndropout = 2020-01-01",
    "[sweep]\nepochs = []",
    "[sweep.hidden]\nvalues = [2]\nsets = {}",
    "[search]\nepochs = { low = 1, high = 9 }\n[[start]]\nepochs = 20\n[[start]]\nloss = 'ce'",
    "start = [3]",
)
WRONG_SEARCHES = (
    "gamma = { low = 0.1 }",
    "gamma = { low = 0.9, high = 0.1 }",
    "gamma = { low = 0.1, high = 1, step = 2 }",
    "dropout = { low = [0.1], high = 0.5 }",
    "weight_decay = { low = 0, high = 1, log = true }",
    "epochs = { low = 1, high = 9, step = 3 }",
    "hidden = { choices = [8] }\nlayers = { choices = [1] }",
    "power = { low = 1, high = 2, when = { loss = 'c' } }",
    "loss = { choices = ['ce'] }\npower = { low = 1, high = 2, when = { loss = 'bce' } }",
    "power = { low = 1, high = 2, when = { power = 1 } }",
    "gamma = 0.1",
    "gamma = { low = 0.1, high = 2 }",
    "loss = { choices = [] }",
)


def test_a_fault_is_reported_with_its_place(space_from: SpaceFrom) -> None:
    lines = []
    for text in (*WRONG, *(f"[search]\n{search}\n" for search in WRONG_SEARCHES)):
        lines += [repr(text), *faults(space_from, text)]
    assert_snapshot("spaces", lines)


def test_all_faults_come_in_one_message(space_from: SpaceFrom) -> None:
    found = faults(
        space_from,
        """
        [base]
        epochs = 0
        loss = "bcee"
        [sweep]
        batch_size = []
        [search]
        learning_rate = { low = 0, high = 1, log = true }
        width = { low = 0, high = 3, when = { colour = "red" } }
        """,
    )
    places = ["base: epochs", "base: loss", "sweep.batch_size", "search.width.low"]
    places += ["search.width.when", "search.learning_rate.low"]
    assert len(found) == len(places)
    for place in places:
        assert [fault for fault in found if fault.startswith(place)], place
    one_width = "[base]\nhidden = [8, 9]\n[search]\nlayers = { low = 1, high = 2 }"
    assert "It needs a single width, but base.hidden = [8, 9]." in faults(space_from, one_width)[0]


def test_spaces_are_loaded_by_name_and_path_also_when_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert space_names() == SHIPPED
    path = tmp_path / "search_spaces" / "only.toml"
    path.parent.mkdir()
    path.write_bytes(b"\xef\xbb\xbf[base]\r\nepochs = 7\r\n")  # As Windows writes it.
    assert (load_space(str(path)).name, load_space(str(path)).base.epochs) == ("only", 7)
    monkeypatch.setattr(hpo.space.files, "_PACKAGE", tmp_path)
    assert space_names() == ["only"]
    assert load_space("only").base.epochs == 7


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chest-xray", "Did you mean chest_xray?"),
        ("\0", "There is no space"),
        ("/dev/zero", "is not a file"),
    ],
)
def test_an_unknown_space_name_is_explained(name: str, words: str) -> None:
    with pytest.raises(SpaceError, match=words) as caught:
        load_space(name)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x02}\xff", "is not UTF-8 text"),
        (b"# line\n" * 20_000, "exceeds 100 kB"),
        # tomllib takes minutes for it.
        (b"[base]\n" + b"a." * 40_000 + b"b = 1\n", "line 2 has more than 2000 characters"),
        (b"x = " + b"[" * 900 + b"]" * 900, "bad.toml"),
        (b"[base]\nepochs = = 3\n", r"is not valid TOML: Invalid value \(at line 2, column 10\)."),
    ],
)
def test_an_invalid_space_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(SpaceError, match=words):
        load_space(str(tmp_path / "bad.toml"))


VALUES: dict[str, list[Any]] = {
    "hidden": [8, [8, 4], [64, 64, 64]],
    "loss": ["bce", "ce", "focal"],
    "batch_norm": [True, False],
    "epochs": [1, 30, 4.0],
    "learning_rate": [1, 0.1, 1e-6],
}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Return the tables of a random valid space."""
    some = st.sets(st.sampled_from(sorted(VALUES)), max_size=4).map(sorted)
    base = {name: draw(st.sampled_from(VALUES[name])) for name in draw(some)}
    sweep: dict[str, Any] = {}
    for name in draw(some):
        other = draw(st.sampled_from(sorted(VALUES.keys() - {name})))
        further, values = {other: VALUES[other][0]}, draw(st.permutations(VALUES[name]))
        values[0] = draw(st.sampled_from([values[0], {name: values[0], **further}]))
        sweep[name] = draw(st.sampled_from([values, {"values": values, "set": further}]))
    search: dict[str, Any] = {}
    for name in draw(st.permutations(sorted(VALUES)))[:3]:
        entry: dict[str, Any] = {"choices": draw(st.permutations(VALUES[name]))}
        if name in {"epochs", "learning_rate"} and draw(st.booleans()):
            ends = sorted(VALUES[name])
            entry = {"low": ends[0], "high": ends[-1], "log": draw(st.booleans())}
        if search and draw(st.booleans()):
            other = draw(st.sampled_from(sorted(search)))
            label = search[other].get("high", search[other].get("choices", [0])[0])
            entry["when"] = {other: "-".join(map(str, label)) if type(label) is list else label}
        search[name] = entry
    return {"base": base, "sweep": sweep, "search": search}


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(item) for key, item in reversed(value.items())}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(documents(), documents(), st.sampled_from(["base", "sweep", "search"]))
def test_a_space_round_trips_and_differences_are_found(
    document: dict[str, Any], other: dict[str, Any], table: str
) -> None:
    space = from_document(document)
    written = json.loads(json.dumps(to_document(space)))
    assert from_document(written) == space
    turned = from_document(reversed_keys(document))
    assert turned == space
    assert json.dumps(to_document(turned)) == json.dumps(to_document(space))
    changed = from_document(document | {table: other[table]})
    differences = space_differences(to_document(space), to_document(changed))
    assert (differences == []) == (space == changed)
    assert all(line.startswith(f"{table}.") for line in differences)


def test_start_points_are_completed_from_the_base_and_round_trip() -> None:
    search = {
        "optimizer": {"choices": ["adam", "sgd"]},
        "momentum": {"low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
        "hidden": {"choices": [[64, 64, 64], [8]]},
    }
    start = [{"optimizer": "sgd", "momentum": 0.5}, {"hidden": [8], "momentum": 0.5}]
    space = from_document({"base": {"optimizer": "adam"}, "search": search, "start": start})
    assert space.start == (
        {"optimizer": "sgd", "momentum": 0.5, "hidden": "64-64-64"},
        {"optimizer": "adam", "hidden": "8"},
    )
    assert from_document(json.loads(json.dumps(to_document(space)))) == space


def test_differences_are_spelled_out() -> None:
    recorded = to_document(load_space("report_c"))
    asked = copy.deepcopy(recorded)
    asked["base"]["epochs"] = 10
    asked["sweep"]["batch_size"]["values"] = [16, 32]
    del asked["sweep"]["loss"]
    asked["search"]["power"] = {"low": 1.0}
    asked["name"] = "a copy"
    assert space_differences(recorded, asked) == [
        "base.epochs was 30, now 10",
        'sweep.loss.values was ["bce", "ce"], now absent',
        "sweep.batch_size.values was [32, 64, 128], now [16, 32]",
        "search.power.low was absent, now 1",
    ]
