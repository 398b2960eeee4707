"""A model that is handed over: one network, or several whose probabilities are averaged."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hpo.errors import UsageError, WeightsError, fault_list
from hpo.weights.exported import CONFIG, Description, describe, describe_folder, open_described
from hpo.weights.files import is_folder
from hpo.weights.network import Network, Unseen, open_network

# Of one name in two formats the last is taken.
SUFFIXES: Final = (".pth", ".pt", ".safetensors")


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
    files = _files(path)
    described = None
    if (path / CONFIG).exists():
        if unseen is not None:
            raise UsageError(
                f"{path / CONFIG} says what --input-scale, --activation and --has-sigmoid say: "
                "leave them out, or give one file of weights."
            )
        described = describe_folder(path)
    return _open_all(path, files, unseen, described)


def text_of(networks: Sequence[Network]) -> str:
    """Return the architecture of networks in words, each that differs once."""
    return "; ".join(dict.fromkeys(network.text for network in networks))


def notes_of(networks: Sequence[Network]) -> tuple[str, ...]:
    """Return what was found and assumed of networks; where they differ, of which."""
    if len({network.notes for network in networks}) == 1:
        return networks[0].notes
    return tuple(f"{network.path.name}: {note}" for network in networks for note in network.notes)


def _open_file(path: Path, unseen: Unseen | None, described: Description | None) -> Network:
    described = described or (describe(path) if unseen is None else None)
    return open_described(path, described) if described else open_network(path, unseen or Unseen())


def _open_all(
    folder: Path, files: Sequence[Path], unseen: Unseen | None, described: Description | None
) -> tuple[Network, ...]:
    networks, faults = [], []
    for file in files:
        try:
            networks.append(_open_file(file, unseen, described))
        except WeightsError as fault:
            faults.append(str(fault))
    if faults:
        raise WeightsError(
            fault_list(f"{len(faults)} of {len(files)} files of weights in {folder}:", faults)
            + "\nMend them or move them out of the folder: no ensemble is made of the rest alone."
        )
    return tuple(networks)


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
    return [found[stem] for stem in sorted(found, key=_by_number)]


def _by_number(name: str) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
