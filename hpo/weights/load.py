"""Opening a model: a file of weights, a folder of several as an ensemble, or a study's winner.

The configuration of weights that `hpo export` wrote is known, and nothing has to be assumed. It
stands in the config.json of their folder and, of safetensors, in the file itself: such a file may
be moved elsewhere.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from hpo.config import TrainingConfig
from hpo.errors import ConfigError, StudyError, UsageError, WeightsError, fault_list
from hpo.files import read_json
from hpo.storage.opening import open_storage
from hpo.storage.paths import study_folder
from hpo.storage.url import named
from hpo.study.gathering import summarize
from hpo.study.study import open_study
from hpo.training.model import plain_model
from hpo.weights.export import BITS_KEY, CONFIG_KEY
from hpo.weights.files import is_folder, read_tensors
from hpo.weights.network import Network, Unseen, open_network

# Of one name in two formats the last is taken.
SUFFIXES: Final = (".pth", ".pt", ".safetensors")

_CONFIG: Final = "config.json"
_MAX_CONFIG_BYTES: Final = 1_000_000


class _Description(NamedTuple):
    """The configuration that weights were trained with, what says so, and `Network.bits`."""

    config: TrainingConfig
    source: str
    bits: int


def open_model(path: Path, unseen: Unseen | None) -> tuple[Network, ...]:
    """Open a file of weights, or every file of weights in a folder.

    Weights that `hpo export` wrote are read by their configuration. With `unseen`, as those of
    others, their network is found from the shapes instead.

    Raises:
        UsageError: `unseen` for a folder whose config.json says all of it.
        WeightsError: no weights there, or weights that cannot be read; all of them are named.
    """
    if not is_folder(path):
        return (_open_file(path, unseen, None),)
    files, described = _files(path), None
    config = path / _CONFIG
    if config.exists():
        if unseen is not None:
            raise UsageError(
                f"{config} says what --input-scale, --activation and --has-sigmoid say: leave "
                "them out, or give one file of weights."
            )
        if (fields := _fields(config)) is None:
            raise WeightsError(
                f"{config} is damaged, or not from `hpo export`: export the study again, or give "
                "one file of weights with --input-scale."
            )
        described = _describe(config, fields, str(config))
    networks, faults = [], []
    for file in files:
        try:
            networks.append(_open_file(file, unseen, described))
        except WeightsError as fault:
            faults.append(str(fault))
    if faults:
        raise WeightsError(
            fault_list(f"{len(faults)} of {len(files)} files of weights in {path}:", faults)
            + "\nRepair them or move them out of the folder: an ensemble needs all of its files."
        )
    return tuple(networks)


def open_winner(name: str, storage_url: str) -> tuple[Network, ...]:
    """Open the network of every repeat of a study's best configuration.

    Raises:
        StudyError: there is no study of this name, or nothing in it is complete.
        WeightsError: weights were not kept, or cannot be read.
    """
    study = open_study(open_storage(storage_url, create=False), name)
    summary = summarize(study, storage_url=storage_url)
    best, shown = summary.best, named(name, storage_url)
    if best is None:
        raise StudyError(f"No configuration of {name} is complete yet: hpo resume {shown}")
    if unnamed := [str(r.number) for r in best.judged if r.run is None]:
        raise WeightsError(
            f"The record of {name} is damaged: repeat {', '.join(unnamed)} of {best.label} names "
            f"no run, so its weights cannot be found. `hpo export {shown} --out FOLDER` trains it "
            f"again: then give the folder of {best.label} in FOLDER instead of {name}."
        )
    folder = study_folder(storage_url, name) / "weights"
    files = {r.number: folder / f"{r.run}.safetensors" for r in best.judged}
    if missing := [str(number) for number, file in files.items() if not file.is_file()]:
        raise WeightsError(
            f"The weights of {len(missing)} of {len(files)} repeats of the best configuration of "
            f"{name} ({best.label}) are not kept: repeat {', '.join(missing)}. `hpo export "
            f"{shown}` trains them again, bit for bit, and keeps them: then the same command "
            "works."
        )
    source = f"{name} (its best configuration, {best.label})"
    described = _Description(best.config, source, summary.record.data.bits)
    return tuple(_open_file(file, None, described) for file in files.values())


def text_of(networks: Sequence[Network]) -> str:
    """Return the architecture of networks in words, each that differs once."""
    return "; ".join(dict.fromkeys(network.text for network in networks))


def notes_of(networks: Sequence[Network]) -> tuple[str, ...]:
    """Return what was found and assumed of networks; where they differ, of which."""
    if len({network.notes for network in networks}) == 1:
        return networks[0].notes
    return tuple(f"{network.path.name}: {note}" for network in networks for note in network.notes)


def _files(folder: Path) -> list[Path]:
    """Return the files of weights in a folder, one of each name, 2 before 10."""
    found = {
        file.stem: file
        for suffix in SUFFIXES
        for file in sorted(folder.glob(f"*{suffix}"))
        if file.is_file() and not file.name.startswith(".")
    }
    if not found:
        raise WeightsError(
            f"{folder} holds no weights, no file that ends in {', '.join(SUFFIXES[::-1])}. `hpo "
            "export STUDY --weights all` writes a folder of them for every configuration."
        )

    def by_number(stem: str) -> list[tuple[int, str]]:
        parts = re.findall(r"\d+|\D+", stem)
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]

    return [found[stem] for stem in sorted(found, key=by_number)]


def _open_file(path: Path, unseen: Unseen | None, described: _Description | None) -> Network:
    if described is None and unseen is None:
        if fields := _own_fields(path):
            described = _describe(path, fields, "The file itself")
        elif fields := _fields(path.parent / _CONFIG):
            config = path.parent / _CONFIG
            described = _describe(config, fields, str(config))
    if described is None:
        return open_network(path, unseen or Unseen())
    tensors, _ = read_tensors(path)
    # It may describe a network that no memory holds: that has none before its weights fit.
    model = plain_model(described.config, device="meta")
    # Copied, as a product may be rounded otherwise where a tensor stays as it was in a file.
    floats = {
        key: value
        if key.endswith("num_batches_tracked")
        else value.detach().to(torch.float32, copy=True)
        for key, value in tensors.items()
    }
    try:
        model.load_state_dict(floats, assign=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{path} does not hold the network that {described.source} describes. Export the "
            f"study again, or give the file with --input-scale. {error}"
        ) from None
    scale = described.config.normalize
    return Network(
        path=path,
        model=model.eval(),
        settings=described.config,
        side=described.config.image_size,
        notes=(f"{described.source} says how pixels are scaled ({scale}).",),
        bits=described.bits,
    )


def _own_fields(path: Path) -> dict[str, Any] | None:
    """Return what a safetensors file says of its configuration; damage is reported elsewhere.

    Raises:
        WeightsError: what it says is no configuration.
    """
    text = None
    with suppress(SafetensorError, OSError, ValueError):
        if path.is_file():  # A pipe would be waited for.
            with safe_open(path, framework="numpy") as file:
                text = (file.metadata() or {}).get(CONFIG_KEY)
    if text is None:
        return None
    fields = None
    with suppress(ValueError, RecursionError):
        fields = json.loads(text[:_MAX_CONFIG_BYTES])
    if not isinstance(fields, dict):
        raise WeightsError(f"{path}: its configuration is damaged. Export the study again.")
    return fields


def _fields(path: Path) -> dict[str, Any] | None:
    """Return the configuration in a config.json of ours, None where there is none."""
    try:
        document = read_json(path, most=_MAX_CONFIG_BYTES)
    except (OSError, ValueError):
        return None
    fields = document.get("config") if isinstance(document, dict) else None
    return fields if isinstance(fields, dict) else None


def _describe(path: Path, fields: dict[str, Any], source: str) -> _Description:
    bits = fields.pop(BITS_KEY, 0)
    try:
        config = TrainingConfig.from_mapping(fields)
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}\nExport the study again.") from None
    return _Description(config, source, bits if bits in range(17) else 0)
