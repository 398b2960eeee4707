import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.config import FIELDS, FieldSpec
from hpo.errors import SpaceError
from hpo.space import (
    cells,
    from_document,
    load_space,
    override,
    restrict,
    space_differences,
    space_names,
    to_document,
)

Document = dict[str, Any]
NAMES = sorted(set(FIELDS) - {"hidden", "dropout", "milestones"})


def scalars(spec: FieldSpec) -> st.SearchStrategy[Any]:
    if spec.kind is bool:
        return st.booleans()
    if spec.choices:
        return st.sampled_from(spec.choices)
    if spec.kind is int:
        return st.integers(int(spec.low), int(spec.high))
    return st.floats(spec.low, spec.high, exclude_min=spec.above_low, exclude_max=spec.below_high)


def lists(name: str) -> st.SearchStrategy[Any]:
    if name == "hidden":
        return st.lists(st.integers(1, 4096), min_size=1, max_size=3)
    return scalars(FIELDS[name])


@st.composite
def ranges(draw: st.DrawFn, name: str) -> Document:
    spec = FIELDS[name]
    if name == "hidden" or spec.kind in (bool, str):
        return {"choices": draw(st.lists(lists(name), min_size=1, max_size=3, unique_by=str))}
    low, high = sorted(draw(st.tuples(scalars(spec), scalars(spec))))
    return {"low": low, "high": high, "log": draw(st.booleans()) and low > 0}


def some_label(draw: st.DrawFn, domain: Document) -> Any:
    return draw(st.sampled_from(domain.get("choices") or [domain.get("low"), domain.get("high")]))


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Return the tables of a random space that has no faults."""
    base = {name: draw(lists(name)) for name in draw(st.sets(st.sampled_from(NAMES)))}
    sweep = {}
    for name in draw(st.sets(st.sampled_from([*NAMES, "hidden"]), max_size=3)):
        values = draw(st.lists(lists(name), min_size=1, max_size=3, unique_by=str))
        other = draw(st.sampled_from([other for other in NAMES if other != name]))
        further = {other: draw(lists(other))}
        values[0] = draw(st.sampled_from([values[0], {name: values[0], **further}]))
        sweep[name] = draw(st.sampled_from([values, {"values": values, "set": further}]))
    search: dict[str, Document] = {}
    for name in draw(st.lists(st.sampled_from([*NAMES, "hidden"]), max_size=5, unique=True)):
        entry = draw(ranges(name))
        if search and draw(st.booleans()):
            other = draw(st.sampled_from(sorted(set(search) - {"hidden"}) or [""]))
            if other:
                entry["when"] = {other: some_label(draw, search[other])}
        search[name] = entry
    return {"base": base, "sweep": sweep, "search": search}


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(item) for key, item in reversed(value.items())}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(documents())
def test_a_space_comes_back_from_its_document(document: Document) -> None:
    space = from_document(document)
    written = json.loads(json.dumps(to_document(space)))
    assert from_document(written) == space
    assert to_document(from_document(written)) == written


@given(documents())
def test_the_order_of_keys_does_not_matter(document: Document) -> None:
    space, other = from_document(document), from_document(reversed_keys(document))
    assert space == other
    assert list(space.sweeps) == list(other.sweeps)
    assert json.dumps(to_document(space)) == json.dumps(to_document(other))
    assert space_differences(to_document(space), to_document(other)) == []


@given(documents(), st.data())
def test_spaces_differ_where_their_documents_do(first: Document, data: st.DataObject) -> None:
    other = data.draw(documents())
    table = data.draw(st.sampled_from(["base", "sweep", "search"]))
    a, b = from_document(first), from_document(first | {table: other[table]})
    differences = space_differences(to_document(a), to_document(b))
    assert (differences == []) == (a == b)
    assert all(line.startswith(f"{table}.") for line in differences)


@pytest.mark.parametrize("name", space_names())
def test_a_shipped_space_comes_back_from_its_document(name: str) -> None:
    space = load_space(name)
    assert from_document(json.loads(json.dumps(to_document(space)))) == space


def test_a_changed_space_comes_back_in_the_same_order_with_the_same_cells() -> None:
    pinned = override(load_space("chest_xray"), {"scheduler": "step"}, epochs=3)
    space = restrict(pinned, ["step_size", "gamma", "width"])
    back = from_document(to_document(space))
    assert back == space
    assert cells(back, ["batch_size"]) == cells(space, ["batch_size"])


def test_steps_come_back() -> None:
    space = from_document({"search": {"epochs": {"low": 10, "high": 30, "step": 5}}})
    assert from_document(to_document(space)) == space


def test_conditions_on_lists_come_back() -> None:
    hidden = {"choices": [[64, 64], [8]]}
    flip = {"choices": [True, False], "when": {"hidden": ["64-64"]}}
    space = from_document({"search": {"hidden": hidden, "augment_flip": flip}})
    assert from_document(to_document(space)) == space


def test_differences_are_spelled_out() -> None:
    recorded = to_document(load_space("report_c"))
    asked = copy.deepcopy(recorded)
    asked["base"]["epochs"] = 10  # type: ignore[index]
    asked["sweep"]["batch_size"]["values"] = [16, 32]  # type: ignore[index]
    del asked["sweep"]["loss"]  # type: ignore[attr-defined]
    asked["search"]["step_size"]["high"] = 20  # type: ignore[index]
    asked["search"]["power"] = {"low": 1.0, "high": 2.0}  # type: ignore[index]
    asked["name"] = "a copy"
    assert space_differences(recorded, asked) == [
        "base.epochs was 30, now 10",
        'sweep.loss was { values = ["bce", "ce"] }, now not there',
        "sweep.batch_size.values was [32, 64, 128], now [16, 32]",
        "search.step_size.high was 30, now 20",
        "search.power was not there, now { low = 1, high = 2 }",
    ]


def test_a_document_of_another_version_is_refused_by_name() -> None:
    document = to_document(load_space("report_a"))
    document["base"]["momentun"] = 0.5  # type: ignore[index]
    with pytest.raises(SpaceError, match="The recorded space report_a cannot be used") as caught:
        from_document(document)
    assert "Unknown hyperparameter 'momentun'. Did you mean momentum?" in str(caught.value)


@pytest.mark.parametrize("document", ["text", None, [1], 3])
def test_what_is_no_document_at_all_is_said(document: object) -> None:
    with pytest.raises(SpaceError, match="The recorded space takes tables, but got"):
        from_document(document)
