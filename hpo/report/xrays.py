"""The X-rays of a page: the worst predictions, the stress changes and the alignment.

All are validation images of the best configuration, never test images.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final, TypeAlias

import numpy as np

from hpo.data.dataset import TEST, Dataset, Indices, Pixels, TrainingData, seal
from hpo.data.images import png_uri
from hpo.storage.runs import RunStore
from hpo.study.summary import Configuration, StudySummary
from hpo.training.engine import Run, of_label

Picture: TypeAlias = tuple[str, str]
"""The data URI of an image, and its caption."""

_N_WORST: Final = 8
_N_ALIGNED: Final = 3
_SIDE: Final = 160


def read_xrays(
    summary: StudySummary, runs: RunStore, dataset: Dataset
) -> Iterator[tuple[str, str, Sequence[Picture]]]:
    """Yield the kinds of pictures of the best configuration: heading, sentence and pictures."""
    best = summary.best
    found = [(r.fold, runs.read(r.run)) for r in best.judged] if best else []
    done = [(fold, run) for fold, run in found if run and run.names_images]
    if best is None or not done:
        return
    worst = _judged_worst([run for _, run in done])
    places = np.flatnonzero(dataset.split != TEST)[list(worst)].tolist()
    shares = [f"{100 * probability:.0f}" for probability in worst.values()]
    files, classes, labels = dataset.files, dataset.class_names, dataset.labels
    yield (
        "Worst predictions",
        "Validation images for which the best configuration gave the true class the lowest "
        "probability (mean over its repeats). Look for wrong labels and for anything that is not "
        "part of the lungs.",
        [
            (png_uri(pixels, _SIDE), f"{files[i]}: {classes[labels[i]]}, probability {share} %")
            for i, share, pixels in zip(places, shares, dataset.originals(places), strict=True)
        ],
    )
    yield from _as_trained(best, seal(dataset), *done[0])


def _judged_worst(runs: Sequence[Run]) -> dict[int, float]:
    """Return the mean probability of the true class for the worst images of the pool."""
    of_image = defaultdict(list)
    for run in runs:
        labels = np.array(run.validation_labels, dtype=np.uint8)
        own = of_label(np.array(run.validation_probabilities), labels)
        for image, probability in zip(run.validation_images, own.tolist(), strict=True):
            of_image[image].append(probability)
    means = {image: fmean(found) for image, found in of_image.items()}
    return dict(sorted(means.items(), key=lambda item: item[1])[:_N_WORST])


def _as_trained(
    best: Configuration, data: TrainingData, fold: int, run: Run
) -> Iterator[tuple[str, str, Sequence[Picture]]]:
    """Yield one validation image under each stress change, and some before and after alignment."""
    is_aligned, size = best.config.align != "none", best.config.image_size
    if not (is_aligned or run.stress):
        return
    from hpo.training.images import read_images
    from hpo.training.stress import changed_pixels, names

    validation: Indices = data.fold(fold).validation
    plain: Pixels = data.pixels_at(size)
    seen = f"in the {size} x {size} pixels that the network sees"
    if run.stress:
        first = validation[0]
        changed = changed_pixels(data, size)[:, first]
        pictures = [(png_uri(plain[first]), "unchanged")]
        pictures += [(png_uri(image), name) for name, image in zip(names(), changed, strict=True)]
        yield "Stress changes", f"One validation image {seen}.", pictures
    if is_aligned:
        moved, _, template = read_images(replace(data, is_stressed=False), best.config, fold)
        assert template is not None
        pictures = [(png_uri(template), "template")]
        for image in validation[:: max(1, len(validation) // _N_ALIGNED)][:_N_ALIGNED]:
            pictures += [(png_uri(plain[image]), "before"), (png_uri(moved[image]), "after")]
        yield (
            "Alignment",
            f"Each image is moved to fit the mean of the training images, {seen}.",
            pictures,
        )
