"""The probabilities of the classes of image files, and what weights are worth on test images."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np

from hpo.choices import INPUT_SCALES
from hpo.data import TEST, Dataset, Indices, count_classes
from hpo.data.image_folders import SUFFIXES
from hpo.data.images import decode_all, resize
from hpo.data.source import bits_in_use, to_8_bits
from hpo.data.table import NO_TEST
from hpo.errors import DataError, WeightsError
from hpo.evaluate.checks import is_one_answer
from hpo.evaluate.metrics import count_answers, statistics
from hpo.evaluate.records import Confusion, n_right
from hpo.evaluate.test import check_test
from hpo.evaluate.thresholds import DEFAULT, FALL, LOPSIDED, best_accuracy
from hpo.run.session import open_recorded_data
from hpo.stats import Interval, bootstrap_by_patient
from hpo.storage.opening import open_storage, translate_errors
from hpo.storage.url import mask_command
from hpo.study.gathering import summarize
from hpo.study.record import LIBRARY
from hpo.study.study import open_study
from hpo.study.test_access import Opening, now, record_opening
from hpo.tables import count
from hpo.training.engine import predicted
from hpo.weights.load import notes_of, open_best, open_model, text_of
from hpo.weights.network import SCALE_WORDS, Network, Probabilities, Unseen, likely_scale

# Most scripts use one of these: also -0.5..0.5, and the gray mean of ImageNet.
_USUAL_SCALES: Final = (*INPUT_SCALES, "0.5,1", "0.449,0.226")
_MOST_TRIED: Final = 500
_LEAST_GAIN: Final = 0.1
_SIGMOID_OF_ONE: Final = 0.7312
_LEARNED_RANGE: Final = 0.1
_WHOSE: Final = (
    "Whether these weights have seen the test images in training is unknown: if they have, these "
    "numbers are too good."
)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What networks say of a file: the mean probability of each class, and those of each network.

    A file that cannot be read has a `problem` instead, and no probabilities.
    """

    file: Path
    probabilities: tuple[float, ...] = ()
    repeats: tuple[tuple[float, ...], ...] = ()
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class WeightsEvaluation:
    """A network that was read from a file, or the ensemble of a folder, on the test images.

    Intervals are those of the bootstrap by patient: this model, other patients. `members` are the
    networks of an ensemble, each with its metrics alone at the same threshold, NaN where one is
    not defined; a single network has none. `notes` say what was found and assumed of the networks,
    `signs` what looks broken.
    """

    path: Path
    architecture: str
    data: str
    is_phantom: bool
    classes: Mapping[str, int]
    n_patients: int
    threshold: float
    metrics: Mapping[str, Interval]
    confusion: Confusion
    members: tuple[tuple[Network, Mapping[str, float]], ...]
    notes: tuple[str, ...]
    signs: tuple[str, ...]


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Return the image files that paths mean: files, all of a folder, or a pattern (`*.jpeg`).

    Raises:
        DataError: a folder without an image file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES]
            if not inside:
                kinds = ", ".join(sorted(SUFFIXES))
                raise DataError(f"{path} holds no image file ({kinds}). Name another folder.")
            found += sorted(inside)
        elif not path.exists() and set(str(path)) & set("*?["):
            pattern = str(path.relative_to(path.anchor))
            # One without a file stays: that there is no such file is said in its place.
            found += sorted(Path(path.anchor).glob(pattern)) or [path]
        else:
            found.append(path)
    return found


def predict(networks: Sequence[Network], files: Sequence[Path]) -> Iterator[Prediction]:
    """Yield the prediction for each file, in order; a broken one does not end it."""
    for file in files:
        try:
            (image,) = decode_all([file])
        except DataError as problem:
            yield Prediction(file=file, problem=str(problem))
            continue
        # Brighter than any image of the training: then its own bits are the better guess.
        bits = max(bits_in_use(int(image.max())), *(network.bits for network in networks))
        pixels = to_8_bits(image, bits)
        repeats = []
        for network in networks:
            (found,) = network.probabilities(resize(pixels, network.side)[None])
            of_each = (1 - found, found) if found.ndim == 0 else found
            repeats.append(tuple(map(float, of_each)))
        means = tuple(map(fmean, zip(*repeats, strict=True)))
        yield Prediction(file=file, probabilities=means, repeats=tuple(repeats))


def evaluate_weights(
    path: Path,
    dataset: Dataset,
    *,
    unseen: Unseen | None = None,
    threshold: float = 0.5,
    own: str | None = None,
) -> WeightsEvaluation:
    """Answer the test images of a data set with the network of a file, or the mean of a folder.

    A probability above the threshold means the second of two classes.

    Raises:
        WeightsError: a file cannot be read, or its network gives no numbers, or has other classes.
        DataError: there is no test split, or it lacks a class.
    """
    check_test(dataset)
    networks = open_model(path, unseen, own)
    return _evaluate(path, networks, dataset, dataset.where(TEST), threshold, [_WHOSE])


def evaluate_elsewhere(
    name: str,
    storage_url: str,
    dataset: Dataset,
    *,
    threshold: float = 0.5,
    own: str | None = None,
    command: str = LIBRARY,
) -> WeightsEvaluation:
    """Answer all images of another data set with a study's best configuration, on record.

    Raises:
        StudyError: there is no study of this name, or nothing in it is complete.
        WeightsError: its weights were not kept, or it has other classes.
    """
    study = open_study(open_storage(storage_url, create=False), name)
    with translate_errors(storage_url):
        summary = summarize(study, storage_url=storage_url)
    networks = open_best(summary, own, DEFAULT)
    names = networks[0].class_names
    _check_classes(networks, dataset)
    with translate_errors(storage_url):
        opening = Opening(
            when=now(),
            command=mask_command(command),
            threshold=f"{threshold:g}",
            trials=tuple(r.trial for r in summary.best.judged) if summary.best else (),
            n_complete=summary.count("complete"),
            data=dataset.name,
        )
        record_opening(study, opening)
    notes = [note for note in dataset.notes if not note.startswith(NO_TEST)]
    if names != dataset.class_names:
        pairs = ", ".join(map(" for ".join, zip(dataset.class_names, names, strict=True)))
        notes.append(f"Its classes stand for those of the study: {pairs}.")
    with suppress(DataError):
        own_data = open_recorded_data(study, summary.record)
        if n := len({*own_data.digests} & {*dataset.digests}):
            notes.append(f"Warning: {count(n, 'image')} of it are in the data of the study too.")
    everything = np.arange(len(dataset))
    return _evaluate(Path(summary.name), networks, dataset, everything, threshold, notes)


def _check_classes(networks: Sequence[Network], dataset: Dataset) -> None:
    for network in networks:
        if len(network.class_names) != len(dataset.class_names):
            raise WeightsError(
                f"{network.path} is a network for {len(network.class_names)} classes, but "
                f"{dataset.name} has {len(dataset.class_names)}: "
                f"{', '.join(dataset.class_names)}."
            )


def _evaluate(
    path: Path,
    networks: Sequence[Network],
    dataset: Dataset,
    test: Indices,
    threshold: float,
    notes: Sequence[str],
) -> WeightsEvaluation:
    labels, patients = dataset.labels[test], dataset.patients[test]
    each = [network.probabilities(dataset.pixels_at(network.side)[test]) for network in networks]
    n_classes = len(dataset.class_names)
    _check_classes(networks, dataset)
    mean = np.mean(each, axis=0)
    found = statistics(labels, mean, threshold=threshold)
    metrics = {name: bootstrap_by_patient(found[name], patients) for name in found}
    members, signs = [], []
    every = np.ones((1, len(labels)))
    for network, answers in zip(networks, each, strict=True):
        of_one = statistics(labels, answers, threshold=threshold)
        members.append((network, {name: float(of_one[name](every)[0]) for name in of_one}))
        name = f"{network.path.name}: " if len(networks) > 1 else ""
        signs += [name + sign for sign in _scale_sign(network, dataset, threshold)]
    signs += _answer_signs(mean, dataset.class_names, threshold)
    if n_classes == 2:
        signs += _threshold_sign(metrics, best_accuracy(labels, [mean]))
    return WeightsEvaluation(
        path=path,
        architecture=text_of(networks),
        data=dataset.name,
        is_phantom=dataset.is_phantom,
        classes=count_classes(dataset.class_names, labels),
        n_patients=len(np.unique(patients)),
        threshold=threshold,
        metrics=metrics,
        confusion=count_answers(predicted(mean, threshold), labels, n_classes),
        members=tuple(members) if len(members) > 1 else (),
        notes=(*notes_of(networks), *notes),
        signs=tuple(signs),
    )


def to_document(evaluation: WeightsEvaluation) -> dict[str, Any]:
    """Return what `hpo evaluate --weights --json` prints."""
    n_images = sum(evaluation.classes.values())
    return {
        "weights": str(evaluation.path),
        "architecture": evaluation.architecture,
        "data": {
            "name": evaluation.data,
            "is_phantom": evaluation.is_phantom,
            "n_test": n_images,
            "n_patients": evaluation.n_patients,
        },
        "threshold": evaluation.threshold,
        "metrics": {
            name: {"value": found.mean, "low": found.low, "high": found.high}
            for name, found in evaluation.metrics.items()
        },
        "classes": dict(evaluation.classes),
        "confusion": evaluation.confusion,
        "n_right": n_right(evaluation.confusion),
        "n_images": n_images,
        "members": [
            {"weights": str(network.path), "architecture": network.text, "metrics": metrics}
            for network, metrics in evaluation.members
        ],
        "notes": list(evaluation.notes),
        "signs": list(evaluation.signs),
    }


def _scale_sign(network: Network, dataset: Dataset, threshold: float) -> Iterator[str]:
    """Say that the input scale does not fit the first BatchNorm, or the images outside the test.

    Of these another scale must get far more right: four standard errors of the difference are
    chance in one of 5,000 cases.
    """
    if not isinstance(network.settings, Unseen):
        return
    own, pixels = network.settings.input_scale, dataset.pixels_at(network.side)
    likely = likely_scale(network, pixels[dataset.where(TEST)])
    if likely and likely != own:
        yield (
            "The first BatchNorm saw values of another size in training: these weights seem to "
            f"be made for {SCALE_WORDS[likely]}. Try --input-scale {likely}."
        )
        return
    pool = np.setdiff1d(np.arange(len(dataset)), dataset.where(TEST))
    pool = pool[np.linspace(0, len(pool) - 1, min(len(pool), _MOST_TRIED)).astype(int)]
    pixels, is_right = pixels[pool], {}
    for scale in dict.fromkeys((own, *_USUAL_SCALES)):
        with suppress(WeightsError):  # It overflows: this is not the scale.
            found = network.probabilities(pixels, input_scale=scale)
            is_right[scale] = predicted(found, threshold) == dataset.labels[pool]
    most = max(int(right.sum()) for right in is_right.values())
    best = [scale for scale, right in is_right.items() if right.sum() == most]
    gain = is_right[best[0]].astype(int) - is_right[own]
    if gain.mean() >= _LEAST_GAIN and gain.sum() > 4 * np.sqrt(np.abs(gain).sum()):
        yield (
            f"Of {len(pool)} training images {100 * is_right[own].mean():.1f} % are right with "
            f"--input-scale {own}, and {100 * most / len(pool):.1f} % with {' or '.join(best)}. "
            "Use the scale that the network was trained with."
        )


def _answer_signs(
    probabilities: Probabilities, class_names: Sequence[str], threshold: float
) -> Iterator[str]:
    shown = probabilities if probabilities.ndim == 1 else probabilities.max(1)
    low, high = float(shown.min()), float(shown.max())
    if is_one_answer(probabilities, threshold):
        called = class_names[predicted(probabilities, threshold)[0]]
        bounds = f"probabilities {low:.3f} to {high:.3f}"
        yield f"Every test image is classified as {called} ({bounds})."
    if len(class_names) > 2:
        return
    # A network that has not learned gives such values too, but in a narrow range.
    if low >= 0.5 and high <= _SIGMOID_OF_ONE and high - low >= _LEARNED_RANGE:
        yield (
            f"All probabilities are between {low:.3f} and {high:.3f}. This pattern "
            "appears when a sigmoid is applied twice (0.731 is the sigmoid of 1, 0.5 that of 0): "
            "see --has-sigmoid."
        )


def _threshold_sign(metrics: Mapping[str, Interval], best: float) -> Iterator[str]:
    """Say that another threshold would do far better, by the same measures as for a study.

    A study compares with its validation images; of these weights there are none.
    """
    accuracy, auroc, sensitivity, specificity = (
        metrics[name].mean or 0.0 for name in ("accuracy", "auroc", "sensitivity", "specificity")
    )
    if abs(sensitivity - specificity) >= LOPSIDED and best - accuracy >= FALL:
        yield (
            f"The model ranks these images (AUROC {auroc:.3f}), but the threshold does not fit "
            f"them: sensitivity {100 * sensitivity:.1f} %, specificity {100 * specificity:.1f} %. "
            f"With the best threshold for them accuracy would be {100 * best:.1f} %; do "
            "not report that number, for it is chosen on the test labels."
        )
