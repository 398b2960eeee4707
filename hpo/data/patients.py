"""Patients as the file names of the public release tell them."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final, NamedTuple

# Names of its first versions and of its third. What stands around them is of a copy or a variant.
# An ID of the first is unique only with what stands before it, and with bacteria or virus.
_PATIENT: Final = re.compile(
    r"(?<![a-z0-9])(?:(?P<person>person\d+_(?:bacteria|virus))_\d+"
    r"|(?P<scan>(?:NORMAL\d+-)?IM-\d+)(?:-\d+){1,2}"
    r"|(?:NORMAL|BACTERIA|VIRUS)-(?P<number>\d+)-\d+)",
    re.IGNORECASE,
)

_CHANGES: Final = (
    "copy|aug(?:mented)?|[hv]?flip(?:ped)?|mirror(?:ed)?|rot(?:ate|ated)?|resized?|crop(?:ped)?|"
    "zoom(?:ed)?|noisy?|noise|blur(?:red)?|bright(?:er)?|dark(?:er)?|contrast|shift(?:ed)?|"
    "jpe?g|png|rf"
)
_VARIANT: Final = re.compile(
    rf"(?P<name>.+?)(?:(?P<count> ?\(\d+\))|[ ._-]+(?:{_CHANGES})[ ._-]?[0-9a-f]*)+",
    re.IGNORECASE,
)
# `scan (1)` to `scan (400)` are no copies.
_MOST_COPIES: Final = 20


class Patients(NamedTuple):
    """A key per image, how many of them name a patient, and how many other images are copies."""

    keys: tuple[str, ...]
    n_known: int
    n_copies: int


def patients_of(files: Sequence[str]) -> Patients:
    """Return the patient that each name tells, or the image itself, of a copy its original."""
    names = [str(PurePosixPath(file).with_suffix("")) for file in files]
    found = [_PATIENT.search(PurePosixPath(name).name) for name in names]
    originals = dict(zip(reversed(names), reversed(files), strict=True))
    copied = [_original(name, originals) for name in names]
    counts = Counter(copied)
    keys, n_copies = [], 0
    for file, match, original in zip(files, found, copied, strict=True):
        if match:
            keys.append((match["person"] or match["scan"] or match["number"]).lower())
        elif original and counts[original] <= _MOST_COPIES:
            keys.append(originals.get(original, original))
            n_copies += 1
        else:
            keys.append(file)
    return Patients(tuple(keys), sum(map(bool, found)), n_copies)


def _original(name: str, names: dict[str, str]) -> str | None:
    """Return the name that this one is a copy or a variant of."""
    match = _VARIANT.fullmatch(name)
    if match is None or (match["count"] and match["name"] not in names):
        return None
    return match["name"]
