"""Predictions for image files, and the evaluation of weights on test images."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from hpo.config import TrainingConfig
from hpo.data.dataset import TEST, Dataset, Indices, Pixels, Stored, count_classes
from hpo.data.image_folders import SUFFIXES, list_images
from hpo.data.images import decode_each, resize
from hpo.data.source import bits_in_use, to_8_bits
from hpo.data.table import NO_TEST
from hpo.errors import DataError, WeightsError
from hpo.evaluate.checks import is_one_answer
from hpo.evaluate.configurations import evaluate_model
from hpo.evaluate.intervals import draw_weights
from hpo.evaluate.metrics import statistics
from hpo.evaluate.records import Ensemble
from hpo.evaluate.test import check_test, read_evaluation
from hpo.evaluate.thresholds import rule_of
from hpo.storage.opening import open_storage
from hpo.storage.url import mask_command
from hpo.study.gathering import summarize
from hpo.study.record import LIBRARY
from hpo.study.study import open_recorded_data, open_study
from hpo.study.test_access import Opening, now, record_opening
from hpo.tables import count
from hpo.training.engine import predicted
from hpo.weights.load import notes_of, open_best, open_model, text_of
from hpo.weights.network import Network, Probabilities, Unseen

_WHOSE: Final = (
    "Whether these weights were trained on the test images is unknown. If they were, these "
    "numbers are too good. No study records this use of the test set."
)
_N_AT_ONCE: Final = 32
"""Files predicted together."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The prediction for a file: its label, and the mean probability of each class.

    `repeats` are the probabilities of each network. A file that cannot be read has a `problem`
    instead.
    """

    file: Path
    label: str = ""
    probabilities: tuple[float, ...] = ()
    repeats: tuple[tuple[float, ...], ...] = ()
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class WeightsEvaluation:
    """Networks from files on the test images; `result` is their mean as one model.

    `members` are the networks, each with its metrics alone at the same threshold, NaN if
    undefined. `notes` list findings and assumptions, `signs` warnings.
    """

    path: Path
    data: str
    is_phantom: bool
    classes: Mapping[str, int]
    n_patients: int
    result: Ensemble
    members: tuple[tuple[Network, Mapping[str, float]], ...]
    notes: tuple[str, ...]
    signs: tuple[str, ...]

    @property
    def architecture(self) -> str:
        """The networks in words, without repetition."""
        return text_of([network for network, _ in self.members])


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Return image files from paths: files, folders, or patterns (`*.jpeg`).

    Raises:
        DataError: a folder without an image file.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside, _ = list_images(path)
            if not inside:
                kinds = ", ".join(sorted(SUFFIXES))
                raise DataError(f"{path} contains no image file ({kinds}). Choose another folder.")
            files += sorted(path / file for file in inside)
        elif not path.exists() and set(str(path)) & set("*?["):
            pattern = str(path.relative_to(path.anchor))
            # A missing file stays in the list, and is reported in its place.
            files += sorted(Path(path.anchor).glob(pattern)) or [path]
        else:
            files.append(path)
    return files


def predict(
    networks: Sequence[Network], files: Sequence[Path], *, threshold: float | None = None
) -> Iterator[Prediction]:
    """Yield the prediction for each file, in order; continue after broken files.

    With two classes, a probability above the threshold (None: the model's) means the second.
    """
    threshold = networks[0].threshold if threshold is None else threshold
    decoded = decode_each(files)
    for start in range(0, len(files), _N_AT_ONCE):
        some = files[start : start + _N_AT_ONCE]
        found = [
            image if isinstance(image, DataError) else _at_sizes(image, networks)
            for image in islice(decoded, len(some))
        ]
        images = [image for image in found if not isinstance(image, DataError)]
        per_network = [
            n.probabilities(np.stack([image[n.side] for image in images]))
            for n in (networks if images else ())
        ]
        answers = zip(*per_network, strict=True)
        for file, image in zip(some, found, strict=True):
            if isinstance(image, DataError):
                yield Prediction(file=file, problem=str(image))
                continue
            repeats = next(answers)
            mean = np.mean(repeats, axis=0)
            (label,) = predicted(mean[None], threshold)
            yield Prediction(
                file=file,
                label=networks[0].class_names[label],
                probabilities=_of_each_class(mean),
                repeats=tuple(map(_of_each_class, repeats)),
            )


def _at_sizes(image: Stored, networks: Sequence[Network]) -> dict[int, Pixels]:
    """Return an image in 8 bits at the sizes of the networks."""
    # If an image is brighter than all training images, its own bits are used.
    bits = max(bits_in_use(int(image.max())), *(network.bits for network in networks))
    pixels = to_8_bits(image, bits)
    return {side: resize(pixels, side) for side in {network.side for network in networks}}


def _of_each_class(p: Probabilities) -> tuple[float, ...]:
    """Return the probability of every class from the output for one image."""
    return tuple(p.tolist()) if p.ndim else (float(1 - p), float(p))


def evaluate_weights(
    path: Path,
    dataset: Dataset,
    *,
    unseen: Unseen | None = None,
    threshold: float | None = None,
    custom: str | None = None,
) -> WeightsEvaluation:
    """Evaluate the network of a file, or the ensemble of a folder, on a data set's test images.

    With two classes, a probability above the threshold (None: the model's) means the second.

    Raises:
        WeightsError: a file cannot be read, or its network fails or has other classes.
        DataError: there is no test split, or it lacks a class.
    """
    check_test(dataset)
    networks = open_model(path, unseen, custom)
    at = networks[0].threshold if threshold is None else threshold
    dataset, notes = _match_classes(networks, dataset, "the network")
    return _evaluate(path, networks, dataset, dataset.where(TEST), at, [_WHOSE, *notes])


def evaluate_elsewhere(
    name: str,
    storage_url: str,
    dataset: Dataset,
    *,
    threshold: str | None = None,
    custom: str | None = None,
    command: str = LIBRARY,
) -> WeightsEvaluation:
    """Evaluate a study's best configuration on all images of another data set, on record.

    `threshold` is a rule, applied to the validation images of the study; the default is that of
    its last evaluation.

    Raises:
        StudyError: there is no study of this name, or nothing in it is complete.
        WeightsError: its weights were not saved, or it has other classes.
    """
    study = open_study(open_storage(storage_url, create=False), name)
    summary = summarize(study, compares=False)
    rule = rule_of(threshold, read_evaluation(study))
    networks = open_best(summary, custom, rule)
    dataset, of_classes = _match_classes(networks, dataset, "the study")
    opening = Opening(
        when=now(),
        command=mask_command(command),
        threshold=rule,
        trials=tuple(r.trial for r in summary.best.judged) if summary.best else (),
        n_complete=summary.count("complete"),
        data=dataset.name,
    )
    record_opening(study, opening)
    notes = [note for note in dataset.notes if not note.startswith(NO_TEST)] + of_classes
    with suppress(DataError):
        own_data = open_recorded_data(study, summary.record)
        if n := len({*own_data.digests} & {*dataset.digests}):
            notes.append(f"Warning: {count(n, 'image')} of it are also in the data of the study.")
    everything = np.arange(len(dataset))
    return _evaluate(
        Path(summary.name), networks, dataset, everything, networks[0].threshold, notes
    )


def _match_classes(
    networks: Sequence[Network], dataset: Dataset, whose: str
) -> tuple[Dataset, list[str]]:
    """Return the data with its classes in the order of the networks, and a note on other names.

    Classes are matched by name; what is left, if it is one class, or two of two, by its place. The
    names of networks from elsewhere are unknown.

    Raises:
        WeightsError: another number of classes, or several without a counterpart.
    """
    network, theirs = networks[0], dataset.class_names
    ours = network.class_names
    if len(ours) != len(theirs):
        raise WeightsError(
            f"{network.path} is a network for {len(ours)} classes, but {dataset.name} has "
            f"{len(theirs)}: {', '.join(theirs)}."
        )
    left = {name.casefold(): place for place, name in enumerate(theirs)}
    by_name = isinstance(network.settings, TrainingConfig)
    matched = [left.pop(name.casefold(), None) if by_name else None for name in ours]
    if by_name and matched.count(None) > 1 and len(ours) > 2:
        raise WeightsError(
            f"The classes of {dataset.name} ({', '.join(theirs)}) are not those of {whose} "
            f"({', '.join(ours)}). Give them the same names, then evaluate again."
        )
    others = iter(left.values())
    places = [next(others) if place is None else place for place in matched]
    names = tuple(theirs[place] for place in places)
    labels = np.argsort(places).astype(dataset.labels.dtype)[dataset.labels]
    notes = []
    if by_name and [*map(str.casefold, names)] != [*map(str.casefold, ours)]:
        pairs = ", ".join(map(" for ".join, zip(names, ours, strict=True)))
        notes = [f"Its classes correspond to those of {whose}: {pairs}."]
    return replace(dataset, labels=labels, class_names=names), notes


def _evaluate(
    path: Path,
    networks: Sequence[Network],
    dataset: Dataset,
    test: Indices,
    threshold: float,
    notes: Sequence[str],
) -> WeightsEvaluation:
    labels, patients, names = dataset.labels[test], dataset.patients[test], dataset.class_names
    per_network = [n.probabilities(dataset.pixels_at(n.side, n.bits)[test]) for n in networks]
    n_patients, weights = len(np.unique(patients)), draw_weights(patients, seed=0)
    result = evaluate_model(per_network, threshold, labels, weights, n_patients)
    members, signs, mean = [], list[str](), np.mean(per_network, axis=0)
    for network, answers in zip(networks, per_network, strict=True):
        metrics = statistics(labels, answers, threshold=threshold)
        members.append((network, {n: float(of(weights[:1])[0]) for n, of in metrics.items()}))
    classes, hint = count_classes(names, labels), "Was it trained on this --input-scale?"
    if is_one_answer(mean, threshold):
        name = names[predicted(mean, threshold)[0]]
        signs.append(f"Every test image is classified as {name}. {hint}")
    elif (result.metrics["accuracy"].mean or 0.0) <= max(classes.values()) / len(labels):
        signs.append(f"The accuracy is that of always predicting the most common class. {hint}")
    return WeightsEvaluation(
        path=path,
        data=dataset.name,
        is_phantom=dataset.is_phantom,
        classes=classes,
        n_patients=n_patients,
        result=result,
        members=tuple(members),
        notes=(*notes_of(networks), *notes),
        signs=tuple(signs),
    )
