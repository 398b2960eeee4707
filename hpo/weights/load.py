"""Opening a model: a weights file, a folder of them as an ensemble, or a study's winner.

Weights written by `hpo export` contain their configuration, so nothing has to be assumed.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from hpo import models
from hpo.config import TrainingConfig
from hpo.data.dataset import CLASS_NAMES, SYNTHETIC
from hpo.errors import ConfigError, StudyError, UsageError, WeightsError, fault_list
from hpo.evaluate.test import read_evaluation
from hpo.evaluate.thresholds import model_threshold, rule_of
from hpo.storage.opening import open_storage
from hpo.storage.paths import runs_folder, study_folder
from hpo.storage.runs import RunStore
from hpo.storage.url import named
from hpo.study.gathering import summarize
from hpo.study.study import open_study
from hpo.study.summary import StudySummary
from hpo.training.alignment import SIDE, TEMPLATE
from hpo.training.custom import open_network as open_network_of
from hpo.training.model import plain_model
from hpo.weights.files import read_tensors
from hpo.weights.network import Network, Unseen, open_network

# If a name exists in two formats, the last one is used.
SUFFIXES: Final = (".pth", ".pt", ".safetensors")

CONFIG_KEY: Final = "hpo.config"
"""The key in safetensors of the configuration of their network, as JSON.

Besides its fields, if they differ from the defaults: bits (of 16-bit training images), classes
(their names), threshold, and phantom (true for synthetic training images).
"""


def open_model(
    path: Path, unseen: Unseen | None, custom: str | None = None
) -> tuple[Network, ...]:
    """Open a weights file, or every weights file in a folder.

    Weights written by `hpo export` are read by their configuration; those of a custom model need
    its FILE.py:NAME. With `unseen`, as for weights from elsewhere, the network is inferred
    from the shapes.

    Raises:
        UsageError: the networks of a folder have different classes.
        WeightsError: there are no weights, or unreadable ones; all are named.
    """
    if not path.is_dir():
        return (_open_file(path, unseen, custom),)
    files = _files(path)
    networks, faults = [], []
    for file in files:
        try:
            networks.append(_open_file(file, unseen, custom))
        except WeightsError as fault:
            faults.append(str(fault))
    if faults:
        raise WeightsError(
            fault_list(f"{len(faults)} of {len(files)} weights files in {path} fail:", faults)
            + "\nRepair them or move them out of the folder: an ensemble needs all of its files."
        )
    if len({network.class_names for network in networks}) > 1:
        raise UsageError(f"The networks in {path} have different classes. Choose one of them.")
    return tuple(networks)


def open_winner(
    name: str, storage_url: str, custom: str | None = None, threshold: str | None = None
) -> tuple[Network, ...]:
    """Open the network of every repeat of a study's best configuration.

    A custom model needs its FILE.py:NAME. `threshold` is a rule as typed; the default is that of
    the last evaluation, or 0.5.

    Raises:
        StudyError: there is no study of this name, or nothing in it is complete.
        WeightsError: weights were not saved, or cannot be read.
    """
    study = open_study(open_storage(storage_url, create=False), name)
    summary = summarize(study, compares=False)
    rule = rule_of(threshold, None if threshold else read_evaluation(study))
    return open_best(summary, custom, rule)


def open_best(summary: StudySummary, custom: str | None, rule: str) -> tuple[Network, ...]:
    """Open the networks of a study's best configuration, with the threshold of a rule.

    Raises:
        StudyError: nothing in the study is complete.
        WeightsError: weights were not saved, or cannot be read.
    """
    name, storage_url, best = summary.name, summary.storage, summary.best
    shown = named(name, storage_url) + summary.record.model_option
    if best is None:
        raise StudyError(f"No configuration of {name} is complete yet: {summary.to_resume}")
    folder = study_folder(storage_url, name) / "weights"
    files = {r.number: folder / f"{r.run}.safetensors" for r in best.judged}
    if missing := [str(number) for number, file in files.items() if not file.is_file()]:
        raise WeightsError(
            f"The weights of {len(missing)} of {len(files)} repeats of the best configuration of "
            f"{name} ({best.label}) were not saved ({', '.join(missing)}). Run `hpo export "
            f"{shown}`, which retrains and saves them, then the same command again."
        )
    source = f"{name} (its best configuration, {best.label})"
    value = model_threshold(rule, best, RunStore(runs_folder(storage_url)))
    opened = (_open_configured(file, best.config, source, custom) for file in files.values())
    bits, names = summary.record.data.bits, summary.record.data.class_names
    phantom = summary.record.data.is_phantom
    return tuple(
        replace(n, threshold=value, bits=bits, class_names=names, is_phantom=phantom)
        for n in opened
    )


def text_of(networks: Sequence[Network]) -> str:
    """Return the architectures of networks in words, without repetition."""
    return "; ".join(dict.fromkeys(network.text for network in networks))


def notes_of(networks: Sequence[Network]) -> tuple[str, ...]:
    """Return the notes on networks; if they differ, with the name of each."""
    synthetic = (SYNTHETIC,) if any(network.is_phantom for network in networks) else ()
    if len({network.notes for network in networks}) == 1:
        return networks[0].notes + synthetic
    of_each = (f"{network.path.name}: {note}" for network in networks for note in network.notes)
    return (*of_each, *synthetic)


def _files(folder: Path) -> list[Path]:
    """Return the weights files in a folder, one of each name, 2 before 10."""
    by_stem = {
        file.stem: file
        for suffix in SUFFIXES
        for file in sorted(folder.glob(f"*{suffix}"))
        if file.is_file() and not file.name.startswith(".")
    }
    if not by_stem:
        raise WeightsError(
            f"{folder} contains no weights (files ending in {', '.join(SUFFIXES[::-1])}). "
            "`hpo export STUDY --all` writes a folder of them for every configuration."
        )
    return [by_stem[stem] for stem in sorted(by_stem, key=lambda stem: (len(stem), stem))]


def _open_file(path: Path, unseen: Unseen | None, custom: str | None) -> Network:
    """Open a file by its configuration, or by its shapes if it has none."""
    fields = None if unseen else _fields_inside(path)
    if not isinstance(fields, dict):
        return open_network(path, unseen or Unseen())
    bits, names = fields.pop("bits", 0), fields.pop("classes", CLASS_NAMES)
    threshold, is_phantom = fields.pop("threshold", 0.5), fields.pop("phantom", False) is True
    try:
        config = TrainingConfig.from_mapping(fields)
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}\nExport the study again.") from None
    is_named = isinstance(names, list | tuple) and len(names) == max(2, config.n_outputs)
    if not is_named or not isinstance(threshold, float) or bits not in range(17):
        raise WeightsError(
            f"{path}: its own classes, threshold or bits are invalid. Export the study again."
        )
    network = _open_configured(path, config, "The file itself", custom)
    names = tuple(map(str, names))
    return replace(
        network, threshold=threshold, bits=bits, class_names=names, is_phantom=is_phantom
    )


def _open_configured(
    path: Path, config: TrainingConfig, source: str, custom: str | None
) -> Network:
    """Open weights of this configuration, which is from `source`."""
    # It may describe a network that exceeds memory: check the weights before allocating.
    model = _custom_network(config, custom) if config.model else plain_model(config, device="meta")
    tensors, _ = read_tensors(path)
    template, notes = None, [f"{source} defines how pixels are scaled ({config.normalize})."]
    if config.align == "template":
        template = tensors.pop(TEMPLATE, None)
        if template is None or template.shape != (SIDE, SIDE) or template.dtype != torch.uint8:
            raise WeightsError(
                f"{path} contains no template to align images to, which {source} requires. Export "
                "the study again."
            )
        notes.append("Each image is aligned to the template in the weights.")
    # Copied, because products of tensors that map a file may round differently.
    floats = {
        key: value.detach().to(torch.float32, copy=True) if value.is_floating_point() else value
        for key, value in tensors.items()
    }
    try:
        (model[0] if config.model else model).load_state_dict(floats, assign=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{path} does not contain the network that {source} describes. Export the study "
            f"again, or read the file with --input-scale. {error}"
        ) from None
    return Network(
        path=path,
        model=model.eval(),
        settings=config,
        side=config.image_size,
        notes=tuple(notes),
        template=template,
    )


def _custom_network(config: TrainingConfig, custom: str | None) -> nn.Sequential:
    assert config.model
    if config.model.kind != "network":
        raise UsageError(
            f"{config.model.entry} is an estimator, whose weights are not saved. "
            "hpo evaluate STUDY tests it."
        )
    if custom is None:
        raise UsageError(
            f"These weights are of {config.model.entry}, and code runs only if the command "
            "line names it: add --model FILE.py:NAME."
        )
    _, code = models.open_custom(custom)
    return nn.Sequential(open_network_of(config, code))


def _fields_inside(path: Path) -> object:
    """Return the configuration in a safetensors file; damage is reported elsewhere."""
    with suppress(SafetensorError, OSError, ValueError, LookupError, RecursionError):
        if path.is_file():  # A pipe would block.
            with safe_open(path, framework="numpy") as file:
                return json.loads((file.metadata() or {})[CONFIG_KEY])
    return None
