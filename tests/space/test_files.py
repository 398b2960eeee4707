"""Space files: what is read from them, every fault in one message, and the way back."""

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


def test_sweeps_have_labels_that_say_all_that_a_value_sets(space_from: SpaceFrom) -> None:
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


def test_a_parameter_comes_after_those_its_conditions_name(space_from: SpaceFrom) -> None:
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


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        (Range(name="epochs", low=2, high=8, step=3), [2, 5, 8], [1, 3, 9, 5.0, True, "5"]),
        (Range(name="learning_rate", low=0.5, high=1), [0.5, 1, 0.75], [0.4, 1.1, True, "0.5"]),
        (Choices(name="hidden", choices=(8, (1, 2))), ["8", "1-2"], ["b", 8]),
    ],
)
def test_a_parameter_knows_what_it_contains(
    parameter: Range | Choices, inside: list[object], outside: list[object]
) -> None:
    assert [parameter.find(label) for label in inside] == inside
    assert [label for label in outside if parameter.find(label) is not None] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("batch_size = 3", "Unknown key 'batch_size'. Hyperparameters belong under"),
        ("[bases]\nepochs = 3", "Unknown key 'bases'. Did you mean base?"),
        ("base = 3", "base: The value must be a table, but is 3."),
        ("[base]\nbatch_siz = 3", "base: Unknown hyperparameter 'batch_siz'. Did you mean batch"),
        ("[base]\ndropout = 2020-01-01", "base: dropout must be a number, but is 2020-01-01."),
        ("[base]\nhidden = [8]\nwidth = 3", "base: Both hidden and width set the hidden layers."),
        ("[base]\ndropout = [0.1, 0.2]", "base: dropout = [0.1, 0.2] has 2 values for 3 hidden"),
        ("[sweep]\nepoch = [3]", "sweep: Unknown hyperparameter 'epoch'. Did you mean epochs?"),
        ("[sweep]\nepochs = []", "sweep.epochs: values must be a list with at least 1 value"),
        ("[sweep]\nepochs = [3, 3.0]", "sweep.epochs: The value 3 occurs twice."),
        ("[sweep]\nepochs = [3, 'x']", "sweep.epochs, value 2: epochs must be a whole number, b"),
        ("[sweep]\nhidden = [64, 64]", "sweep.hidden: The value 64 occurs twice. Write a list"),
        ("[sweep.hidden]\nvalues = [2]\nsets = {}", "sweep.hidden: Unknown key 'sets'. Did you "),
        ("[sweep.hidden]\nvalues = [2]\nset = { width = 3 }", "sweep.hidden: Take width out of "),
        ("[sweep]\nhidden = [{ dropout = 0.1 }]", "sweep.hidden: Each of its values must set hi"),
        ("[sweep]\ndropout = [[0.1, 0.2]]", "sweep.dropout, value 0.1-0.2: dropout = [0.1, 0.2]"),
    ],
)
def test_a_fault_of_base_or_sweep(space_from: SpaceFrom, text: str, fault: str) -> None:
    [found] = faults(space_from, text)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("search", "fault"),
    [
        ("gama = { low = 1, high = 2 }", "search: Unknown hyperparameter 'gama'. Did you mean g"),
        ("gamma = 0.1", "search.gamma: It must be a table with low and high, or with choices."),
        ("gamma = { low = 0.1 }", "search.gamma: high is missing."),
        ("gamma = { low = 0.1, high = 1, hihg = 1 }", "search.gamma: Unknown key 'hihg'. Did yo"),
        ("gamma = { low = 0.1, high = 2 }", "search.gamma.high: gamma must be at most 1, but is"),
        ("gamma = { low = 0.9, high = 0.1 }", "search.gamma: low must not be above high, but lo"),
        ("gamma = { low = 0.1, high = 1, step = 2 }", "search.gamma: step = 2 cannot be combine"),
        ("dropout = { low = [0.1], high = 0.5 }", "search.dropout: low and high must be numbers"),
        ("weight_decay = { low = 0, high = 1, log = true }", "search.weight_decay: With log = t"),
        ("epochs = { low = 1, high = 9, step = 3 }", "search.epochs: Steps of 3 do not reach hi"),
        ("loss = { choices = [] }", "search.loss: choices must be a list with at least 1 value"),
        ("loss = { choices = ['bce', 'cee'] }", "search.loss, value 2: loss must be one of 'bce"),
        ("hidden = { choices = [8] }\nlayers = { choices = [1] }", "search: Both hidden and lay"),
        ("power = { low = 1, high = 2, when = 'step' }", "search.power.when: Write it as when ="),
        ("power = { low = 1, high = 2, when = { schduler = 'step' } }", "search.power.when: Unkn"),
        (
            "power = { low = 1, high = 2, when = { loss = 'ce' } }",
            "search.power.when: loss is not",
        ),
        (
            "power = { low = 1, high = 2, when = { loss = 'c' } }",
            "search.power.when: loss must be",
        ),
        (
            "power = { low = 1, high = 2, when = { loss = [] } }",
            "search.power.when: The list of lo",
        ),
        (
            "loss = { choices = ['ce'] }\npower = { low = 1, high = 2, when = { loss = 'bce' } }",
            "search.power.when: loss = bce is not among the searched values.",
        ),
        ("power = { low = 1, high = 2, when = { power = 1 } }", "search: The conditions of power"),
    ],
)
def test_a_fault_of_a_search(space_from: SpaceFrom, search: str, fault: str) -> None:
    [found] = faults(space_from, f"[search]\n{search}\n")
    assert found.startswith(fault)


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
    assert "It needs one width, but base.hidden = [8, 9]." in faults(space_from, one_width)[0]


def test_spaces_are_loaded_by_name_and_by_path_also_where_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert space_names() == SHIPPED
    path = tmp_path / "search_spaces" / "only.toml"
    path.parent.mkdir()
    path.write_bytes(b"\xef\xbb\xbf[base]\r\nepochs = 7\r\n")  # As another system writes it.
    assert (load_space(str(path)).name, load_space(str(path)).base.epochs) == ("only", 7)
    monkeypatch.setattr(hpo.space.files, "_PACKAGE", tmp_path)
    assert space_names() == ["only"]
    assert load_space("only").base.epochs == 7


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chest-xray", "Did you mean chest_xray?"),
        ("elsewhere/nothing.toml", ", ".join(SHIPPED)),
        ("", "is not a file"),
        ("\0", "There is no space"),
        ("x" * 5000, "There is no space"),
        ("/dev/zero", "is not a file"),
    ],
)
def test_a_name_that_is_no_space_is_explained(name: str, words: str) -> None:
    with pytest.raises(SpaceError, match=words) as caught:
        load_space(name)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x02}\xff", "is not UTF-8 text"),
        (b"# line\n" * 20_000, "is larger than 100 kB"),
        # tomllib takes minutes for it.
        (b"[base]\n" + b"a." * 40_000 + b"b = 1\n", "line 2 is longer than 2000 characters"),
        (b"x = " + b"[" * 900 + b"]" * 900, "bad.toml"),
        (b"[base]\nepochs = = 3\n", r"is not valid TOML: Invalid value \(at line 2, column 10\)."),
    ],
)
def test_what_is_no_space_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
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
    """Return the tables of a random space that has no faults."""
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
def test_a_space_comes_back_from_its_document_and_differs_where_that_does(
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


def test_a_document_of_another_version_is_refused_by_name() -> None:
    document = to_document(load_space("report_a"))
    document["base"]["momentun"] = 0.5
    with pytest.raises(SpaceError, match=r"report_a is not valid(.|\n)*Did you mean momentum\?"):
        from_document(document)
    with pytest.raises(SpaceError, match="The recorded space must be a table, but is"):
        from_document("text")
