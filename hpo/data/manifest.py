"""What is said of a data set beside its images: by a manifest (TOML), or on the command line."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError

from hpo.config import STRICT, did_you_mean, faults
from hpo.errors import UsageError, fault_list


def _as_tuple(value: object) -> object:
    """Take one value for a list of it, and numbers for their text."""
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(str(v) if isinstance(v, int | float) else v for v in values)


def _check_regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as problem:
        raise ValueError(f"{text!r} is no regular expression: {problem}.") from None
    return text


Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class Manifest(BaseModel):
    """What is said of a data set; nothing of it must be said.

    `positive` and `negative` name classes. With one of them the rest is the other class; with both
    the rest is left out. `patient_regex` finds the patient in the name of an image: its first
    group, or all that it matches. `merge_val` adds the validation split to training.
    """

    model_config = STRICT

    positive: Names = ()
    negative: Names = ()
    patient_regex: Annotated[str, AfterValidator(_check_regex)] = ""
    merge_val: bool = False
    allow_shared_patients: bool = False


NOTHING_SAID: Final = Manifest()
"""The manifest of data that have none."""


def said(**options: object) -> Manifest:
    """Return what the options of a command line say of a data set; what is empty says nothing.

    Raises:
        UsageError: every fault at once.
    """
    given = {name: value for name, value in options.items() if value}
    return read_manifest(given, source="What the command line says of the data")


def read_manifest(values: Mapping[str, object], *, source: str) -> Manifest:
    """Check what is said of a data set.

    Raises:
        UsageError: every fault at once; `source` says where.
    """
    names = Manifest.model_fields
    try:
        return Manifest.model_validate(dict(values))
    except ValidationError as error:
        found = faults(
            error,
            unknown=lambda name: f"Unknown key {name!r}. {did_you_mean(name, names)}".strip(),
        )
        raise UsageError(fault_list(f"{source} is not valid:", found)) from None
