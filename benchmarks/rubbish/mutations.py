"""Rubbish made from valid input: bytes, documents and texts with a few faults."""

import copy
import json
import struct
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

_SIGNS = ("\0", "\n", "\x1b[31m", "../", "/", "\\", "@", ":", "%", "%40", "'", '"', "<script>")
_TEXTS = ("", "é", "\u202e", "٣", "²", "nan", "1e999", "-0", "None", "[]", "{{7*7}}", "x" * 300)
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.sampled_from([-1, 0, 1, 2, 1 << 31, 1 << 63, 10**400]),
    st.floats(),
    st.sampled_from(_TEXTS),
    st.text(max_size=12),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=4),
    st.dictionaries(st.text(max_size=8), scalars, max_size=3),
    st.lists(st.lists(scalars, max_size=2), max_size=2),
)


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Draw one of some files with one to five edits, or bytes that are none of them."""
    content = draw(st.sampled_from([*seeds, b""]))
    if not content:
        return draw(st.binary(max_size=200))
    for _ in range(draw(st.integers(1, 5))):
        content = _edit(draw, content, seeds)
    return content


def _edit(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    at = draw(st.integers(0, max(0, len(content) - 1)))
    # Headers are at the beginning, directories of archives at the end.
    at = draw(st.sampled_from([at, at % 200, max(0, len(content) - 1 - at % 200)]))
    kind = draw(st.sampled_from(["flip", "number", "cut", "drop", "insert", "repeat", "splice"]))
    if kind == "flip":
        return content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
    if kind == "number":
        size = draw(st.sampled_from("BHIQ"))
        number = draw(st.sampled_from(_NUMBERS)) % (1 << 8 * struct.calcsize(size))
        packed = struct.pack(draw(st.sampled_from("<>")) + size, number)
        return content[:at] + packed + content[at + len(packed) :]
    if kind == "cut":
        return content[:at]
    n = draw(st.integers(1, 40))
    if kind == "drop":
        return content[:at] + content[at + n :]
    if kind == "insert":
        return content[:at] + draw(st.binary(min_size=1, max_size=20)) + content[at:]
    if kind == "repeat":
        return content[:at] + content[at : at + n] * draw(st.integers(2, 50)) + content[at:]
    return content[:at] + draw(st.sampled_from(list(seeds)))[at:]


@st.composite
def distorted(draw: st.DrawFn, document: Any) -> Any:
    """Draw a JSON document with one to three values replaced, removed or inserted."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document))
        if not places:
            return document
        parent, key = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(["replace", "replace", "drop", "add"]))
        if kind == "replace":
            parent[key] = draw(values)
        elif kind == "drop":
            del parent[key]
        elif isinstance(parent, dict):
            parent[draw(st.text(max_size=8))] = draw(values)
        else:
            parent.append(draw(values))
    return document


def _places(node: Any) -> Any:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(items):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


@st.composite
def json_files(draw: st.DrawFn, document: Any) -> bytes:
    """Draw a JSON file: the document distorted, or its bytes damaged."""
    if draw(st.integers(0, 3)):
        return json.dumps(draw(distorted(document))).encode()
    return draw(damaged([json.dumps(document).encode()]))


@st.composite
def misspelled(draw: st.DrawFn, seeds: Sequence[str]) -> str:
    """Draw one of some texts with inserted characters, or any text."""
    text = draw(st.one_of(st.sampled_from(list(seeds)), st.text(max_size=40)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        sign = draw(st.one_of(st.sampled_from(_SIGNS + _TEXTS), st.text(max_size=4)))
        text = text[:at] + sign + text[at + draw(st.integers(0, 3)) :]
    return text
