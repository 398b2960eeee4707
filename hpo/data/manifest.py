"""The description of a data set: a manifest (TOML), or options of a command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from re import Pattern
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ValidationError

from hpo.config import STRICT, did_you_mean, faults, toml
from hpo.errors import UsageError, fault_list
from hpo.files import read_toml


def _as_tuple(value: object) -> object:
    """Accept one value as a list, and numbers as text."""
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(str(v) if isinstance(v, int | float) else v for v in values)


Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class Manifest(BaseModel):
    """The description of a data set (docs/data.md); every field is optional.

    Without a table, `images` is a folder with one subfolder per class. With only `positive` or
    `negative`, all other classes form the other class; with both, they are left out. The patient
    is the first group of `patient_regex`, or everything that it matches.
    """

    model_config = STRICT

    table: Names = ()
    images: Names = ()
    path: str = ""
    label: str = ""
    separator: str = ""
    positive: Names = ()
    negative: Names = ()
    patient: str = ""
    patient_regex: Pattern[str] | None = None
    site: str = ""
    split: str = ""
    fold: str = ""
    test: str = ""
    keep: dict[str, Names] = {}
    merge_val: bool = False
    allow_shared_patients: bool = False
    skip_broken: bool = False


NO_MANIFEST: Final = Manifest()
"""The manifest of data without one."""


def from_options(**options: object) -> Manifest:
    """Return the manifest for the options of a command; empty ones are left out.

    Raises:
        UsageError: all faults at once.
    """
    used = {name: value for name, value in options.items() if value}
    return read_manifest(used, source="The description of the data on the command line")


def read_manifest(values: Mapping[str, object], *, source: str) -> Manifest:
    """Check the fields of a manifest.

    Raises:
        UsageError: all faults at once; `source` names the place.
    """
    names = Manifest.model_fields
    try:
        return Manifest.model_validate(dict(values))
    except ValidationError as error:
        problems = faults(
            error,
            unknown=lambda name: f"Unknown key {name!r}. {did_you_mean(name, names)}".strip(),
        )
        raise UsageError(fault_list(f"{source} is not valid:", problems)) from None


def load_manifest(path: Path, options: Manifest) -> Manifest:
    """Read a manifest; options of the command line take precedence.

    Raises:
        UsageError: all faults at once.
    """
    values = read_toml(path, "manifest", UsageError)
    manifest = read_manifest(values | options.model_dump(exclude_defaults=True), source=str(path))
    if not manifest.table and len(manifest.images) != 1:
        raise UsageError(f"{path} names no table and not exactly one folder of images. Add one.")
    return manifest


def to_toml(manifest: Manifest, comments: Sequence[str]) -> str:
    """Write a manifest with comments; tables are on one line."""
    lines = [f"# {comment}" for comment in comments]
    for key, value in manifest.model_dump(mode="json", exclude_defaults=True).items():
        if isinstance(value, dict):
            entries = [f"{toml(k)} = {_text(v)}" for k, v in value.items()]
            lines.append(f"{key} = {{ {', '.join(entries)} }}")
        else:
            lines.append(f"{key} = {_text(value)}")
    return "\n".join(lines)


def _text(value: object) -> str:
    return toml(value[0] if isinstance(value, list) and len(value) == 1 else value)
