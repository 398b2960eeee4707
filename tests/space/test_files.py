"""Space files: what is read from them, every fault in one message, and the way back."""

import copy
import json
import zipfile
from collections.abc import Callable
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
    Space,
    from_document,
    load_space,
    space_differences,
    space_names,
    to_document,
)

SpaceFrom = Callable[[str], Space]
FaultsOf = Callable[[str], list[str]]
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


def message(name_or_path: str | Path) -> str:
    with pytest.raises(SpaceError) as caught:
        load_space(str(name_or_path))
    return str(caught.value)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_an_empty_file_is_the_default_configuration(space_from: SpaceFrom) -> None:
    space = space_from("")
    assert (space.name, space.sweeps, space.search, space.base.hidden) == (
        "mine", {}, (), (64, 64, 64),
    )  # fmt: skip


def test_sweeps_have_labels_that_say_all_that_a_value_sets(space_from: SpaceFrom) -> None:
    space = space_from(DESIGN)
    assert space.base.hidden == (8, 8)
    assert {name: sweep.labels for name, sweep in space.sweeps.items()} == {
        "hidden": ("256 (batch_norm=false, dropout=0)", "64-64", "64"),
        "dropout": (0.5, "0.5-1e-07"),
        "loss": ("ce (learning_rate=0.1, batch_size=8)", "bce"),
        "batch_size": (32, 64, 128),
    }
    assert space.sweeps["hidden"].values[0] == {
        "hidden": (256,), "batch_norm": False, "dropout": 0.0,
    }  # fmt: skip
    assert space.sweeps["hidden"].set == {"epochs": 30}


def test_a_parameter_comes_after_those_its_conditions_name(space_from: SpaceFrom) -> None:
    assert space_from(DESIGN).search == (
        Choices(name="loss", choices=("ce", "focal")),
        Range(name="learning_rate", low=1e-6, high=1.0, log=True),
        Choices(name="scheduler", choices=("none", "step")),
        Choices(name="milestones", choices=((10, 20), (15,))),
        Choices(
            name="width",
            choices=(32, 64),
            when={"loss": ("ce", "focal"), "scheduler": ("step",)},
        ),
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
        ("[base]\nbatch_size = 1", "base: batch_size must be at least 2, but is 1."),
        ("[base]\ndropout = 2020-01-01", "base: dropout must be a number, but is 2020-01-01."),
        ("[base]\nhidden = [8]\nwidth = 3", "base: Both hidden and width set the hidden layers."),
        ("[base]\ndropout = [0.1, 0.2]", "base: dropout = [0.1, 0.2] has 2 values for 3 hidden"),
        ("[sweep]\nepoch = [3]", "sweep: Unknown hyperparameter 'epoch'. Did you mean epochs?"),
        ("[sweep]\nepochs = []", "sweep.epochs: values must be a list with at least 1 value"),
        ("[sweep]\nepochs = [3, 3.0]", "sweep.epochs: The value 3 occurs twice."),
        ("[sweep]\nepochs = [3, 'x']", "sweep.epochs, value 2: epochs must be a whole number, b"),
        ("[sweep]\nhidden = [64, 64]", "sweep.hidden: The value 64 occurs twice. Write a list"),
        ("[sweep.hidden]\nvalues = [2]\nsets = {}", "sweep.hidden: Unknown key 'sets'. Did you "),
        ("[sweep.hidden]\nvalues = [2]\nset = { epohs = 3 }", "sweep.hidden.set: Unknown hyperp"),
        ("[sweep.hidden]\nvalues = [2]\nset = { width = 3 }", "sweep.hidden: Take width out of "),
        ("[sweep]\nhidden = [{ dropout = 0.1 }]", "sweep.hidden: Each of its values must set hi"),
        ("[sweep]\nhidden = [{ hidden = 4, drop = 1 }]", "sweep.hidden, value 1: Unknown hyperp"),
        ("[sweep]\ndropout = [[0.1, 0.2]]", "sweep.dropout, value 0.1-0.2: dropout = [0.1, 0.2]"),
    ],
)
def test_a_fault_of_base_or_sweep(faults_of: FaultsOf, text: str, fault: str) -> None:
    [found] = faults_of(text)
    assert found.startswith(fault)
    assert found.endswith((".", "?"))


@pytest.mark.parametrize(
    ("search", "fault"),
    [
        ("gama = { low = 1, high = 2 }", "search: Unknown hyperparameter 'gama'. Did you mean g"),
        ("gamma = 0.1", "search.gamma: It must be a table with low and high, or with choices."),
        ("gamma = { low = 0.1 }", "search.gamma: high is missing."),
        ("gamma = { low = 0.1, high = 1, hihg = 1 }", "search.gamma: Unknown key 'hihg'. Did yo"),
        ("gamma = { low = 'a', high = 1 }", "search.gamma.low: gamma must be a number, but is "),
        ("gamma = { low = 0.1, high = 2 }", "search.gamma.high: gamma must be at most 1, but is"),
        ("gamma = { low = 0.9, high = 0.1 }", "search.gamma: low must not be above high, but lo"),
        ("gamma = { low = 0.1, high = 1, step = 2 }", "search.gamma: step = 2 cannot be combine"),
        ("gamma = { low = 0.1, choices = [1] }", "search.gamma: Unknown key 'low'."),
        ("dropout = { low = [0.1], high = 0.5 }", "search.dropout: low and high must be numbers"),
        ("weight_decay = { low = 0, high = 1, log = true }", "search.weight_decay: With log = t"),
        ("epochs = { low = 1, high = 9, step = 0 }", "search.epochs: step must be at least 1, b"),
        ("epochs = { low = 1, high = 9, step = 3 }", "search.epochs: Steps of 3 do not reach hi"),
        ("loss = { choices = [] }", "search.loss: choices must be a list with at least 1 value"),
        ("loss = { choices = ['bce', 'cee'] }", "search.loss, value 2: loss must be one of 'bce"),
        ("hidden = { choices = [8] }\nlayers = { choices = [1] }", "search: Both hidden and lay"),
    ],
)
def test_a_fault_of_a_range(faults_of: FaultsOf, search: str, fault: str) -> None:
    [found] = faults_of(f"[search]\n{search}\n")
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("when", "fault"),
    [
        ("'step'", "search.power.when: Write it as when = { scheduler = "),
        ("{ schduler = 'step' }", "search.power.when: Unknown hyperparameter 'schduler'. Did you"),
        ("{ loss = 'ce' }", "search.power.when: loss is not searched. Add it to [search]."),
        (
            "{ scheduler = 'step' }",
            "search.power.when: scheduler = step is not among the ",
        ),
        ("{ scheduler = 'stp' }", "search.power.when: scheduler must be one of 'none', 'cosine'"),
        ("{ scheduler = [] }", "search.power.when: The list of scheduler is empty, so the condit"),
        ("{ power = 1 }", "search: The conditions of gamma, power run in a circle."),
    ],
)
def test_a_fault_of_a_condition(faults_of: FaultsOf, when: str, fault: str) -> None:
    [found] = faults_of(f"""
        [search]
        scheduler = {{ choices = ["none", "polynomial"] }}
        layers = {{ low = 1, high = 3 }}
        power = {{ low = 1, high = 2, when = {when} }}
        gamma = {{ low = 0.1, high = 1, when = {{ power = 1 }} }}
    """)
    assert found.startswith(fault)


def test_layers_without_one_width_are_a_fault(faults_of: FaultsOf) -> None:
    [found] = faults_of("[base]\nhidden = [8, 9]\n[search]\nlayers = { low = 1, high = 2 }")
    assert found.startswith("search.layers: It needs one width, but base.hidden = [8, 9].")


def test_all_faults_come_in_one_message(faults_of: FaultsOf) -> None:
    found = faults_of("""
        [base]
        epochs = 0
        loss = "bcee"
        [sweep]
        batch_size = []
        [search]
        learning_rate = { low = 0, high = 1, log = true }
        gamma = { low = 0.9, high = 0.1 }
        width = { low = 0, high = 3, when = { colour = "red" } }
    """)
    places = ["base: epochs", "base: loss", "sweep.batch_size", "search.width.low"]
    places += ["search.learning_rate.low", "search.gamma", "search.width.when"]
    assert len(found) == len(places)
    for place in places:
        assert [fault for fault in found if fault.startswith(place)], place


def test_a_file_of_rubbish_gives_a_message_that_can_be_read(tmp_path: Path) -> None:
    text = "[base]\n" + "\n".join(f"k{number} = {number}" for number in range(3000))
    found = message(written(tmp_path / "rubbish.toml", text.encode()))
    assert found.endswith("2900 more faults.")
    assert len(found.splitlines()) == 102
    long = message(written(tmp_path / "long.toml", f"[base]\nloss = '{'x' * 1500}'".encode()))
    assert len(long) < 450


def test_spaces_are_loaded_by_name_and_by_path(tmp_path: Path) -> None:
    assert space_names() == SHIPPED
    assert load_space("report_b").name == "report_b"
    # The marks and line ends of another system.
    path = written(tmp_path / "mine.toml", b"\xef\xbb\xbf[base]\r\nepochs = 7\r\n")
    assert (load_space(str(path)).name, load_space(str(path)).base.epochs) == ("mine", 7)


def test_an_installed_package_has_the_spaces_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "search_spaces").mkdir()
    written(tmp_path / "search_spaces" / "only.toml", b"[base]\nepochs = 3\n")
    monkeypatch.setattr(hpo.space.files, "_PACKAGE", tmp_path)
    assert space_names() == ["only"]
    assert load_space("only").base.epochs == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chest-xray", "Did you mean chest_xray?"),
        ("elsewhere/nothing.toml", ", ".join(SHIPPED)),
        ("", "is a folder"),
        ("\0", "There is no space"),
        ("x" * 5000, "There is no space"),
        ("/dev/zero", "is not a regular file"),
    ],
)
def test_a_name_that_is_no_space_is_explained(name: str, words: str) -> None:
    assert words in message(name)
    assert len(message(name)) < 500


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x02}\xff", "is not UTF-8 text"),
        (b"# line\n" * 20_000, "is larger than 100 kB"),
        # tomllib takes minutes for it.
        (b"[base]\n" + b"a." * 40_000 + b"b = 1\n", "line 2 is longer than 2000 characters"),
        (b"x = " + b"[" * 1900, "bad.toml"),
        (b"x = " + b"[" * 900 + b"]" * 900, "bad.toml"),
        (b"[base]\nepochs = = 3\n", "is not valid TOML: Invalid value (at line 2, column 10)."),
        (b"[base]\nepochs = 3\nepochs = 4\n", "(at line 3, column 11)"),
    ],
)
def test_what_is_no_space_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in message(written(tmp_path / "bad.toml", content))


def test_a_zip_file_and_one_that_may_not_be_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "space.toml"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    assert "space.toml is not" in message(path)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert message(path) == f"{path} cannot be read: Permission denied."


VALUES: dict[str, list[Any]] = {
    "hidden": [8, [8, 4], [64, 64, 64]],
    "loss": ["bce", "ce", "focal"],
    "batch_norm": [True, False],
    "epochs": [1, 30, 4.0],
    "learning_rate": [1, 0.1, 1e-6],
    "momentum": [0.0, 0.5],
    "image_size": [16, 64],
}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Return the tables of a random space that has no faults."""
    some = st.sets(st.sampled_from(sorted(VALUES)), max_size=4).map(sorted)
    base = {name: draw(st.sampled_from(VALUES[name])) for name in draw(some)}
    sweep: dict[str, Any] = {}
    for name in draw(some):
        other = draw(st.sampled_from(sorted(VALUES.keys() - {name})))
        further = {other: VALUES[other][0]}
        values: list[Any] = draw(st.permutations(VALUES[name]))
        values[0] = draw(st.sampled_from([values[0], {name: values[0], **further}]))
        sweep[name] = draw(st.sampled_from([values, {"values": values, "set": further}]))
    search: dict[str, Any] = {}
    for name in draw(st.permutations(sorted(VALUES)))[:3]:
        ends = sorted(v for v in VALUES[name] if type(v) in (int, float) and v)
        entry: dict[str, Any] = {"choices": draw(st.permutations(VALUES[name]))}
        if name != "hidden" and ends and draw(st.booleans()):
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


@given(documents())
def test_a_space_comes_back_from_its_document_in_any_order(document: dict[str, Any]) -> None:
    space = from_document(document)
    written = json.loads(json.dumps(to_document(space)))
    assert from_document(written) == space
    assert to_document(from_document(written)) == written
    other = from_document(reversed_keys(document))
    assert other == space
    assert json.dumps(to_document(other)) == json.dumps(to_document(space))


@given(documents(), documents(), st.sampled_from(["base", "sweep", "search"]))
def test_spaces_differ_where_their_documents_do(
    first: dict[str, Any], other: dict[str, Any], table: str
) -> None:
    a, b = from_document(first), from_document(first | {table: other[table]})
    differences = space_differences(to_document(a), to_document(b))
    assert (differences == []) == (a == b)
    assert all(line.startswith(f"{table}.") for line in differences)


def test_differences_are_spelled_out() -> None:
    recorded = to_document(load_space("report_c"))
    asked = copy.deepcopy(recorded)
    asked["base"]["epochs"] = 10
    asked["sweep"]["batch_size"]["values"] = [16, 32]
    del asked["sweep"]["loss"]
    asked["search"]["step_size"]["high"] = 20
    asked["search"]["power"] = {"low": 1.0}
    asked["name"] = "a copy"
    assert space_differences(recorded, asked) == [
        "base.epochs was 30, now 10",
        'sweep.loss.values was ["bce", "ce"], now absent',
        "sweep.batch_size.values was [32, 64, 128], now [16, 32]",
        "search.step_size.high was 30, now 20",
        "search.power.low was absent, now 1",
    ]


def test_a_document_of_another_version_is_refused_by_name() -> None:
    document = to_document(load_space("report_a"))
    document["base"]["momentun"] = 0.5
    with pytest.raises(SpaceError, match="The recorded space report_a is not valid") as caught:
        from_document(document)
    assert "Unknown hyperparameter 'momentun'. Did you mean momentum?" in str(caught.value)
    for rubbish in ("text", None, [1], 3):
        with pytest.raises(SpaceError, match="The recorded space must be a table, but is"):
            from_document(rubbish)
