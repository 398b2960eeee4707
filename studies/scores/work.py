"""Trainings of the experiment: random configurations, each with its repeats."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from hpo.cli.work import train as follow_to_end
from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, Pixels
from hpo.data.source import open_data
from hpo.run.plan import Settings, plan_search
from hpo.run.session import open_session
from hpo.storage.opening import quiet_optuna
from hpo.study.gathering import summarize
from hpo.training.engine import Run

SPACE: Final = Path(__file__).parent / "space.toml"
SHIFTS: Final = ("other bodies and exposure", "other pose", "other detector")

_SIZE: Final = 64


@dataclass(frozen=True, kw_only=True)
class Part:
    """One data set of the experiment: how many configurations, how many repeats of each."""

    name: str
    data: Path
    n_configurations: int
    n_repeats: int
    set: tuple[tuple[str, str], ...] = ()


def train(part: Part, *, storage: str) -> list[list[Run]]:
    """Train what is missing; return the runs of every configuration whose repeats are all there.

    Raises:
        HpoError: the data or the storage cannot be used.
    """
    quiet_optuna()
    settings = Settings(
        data=part.data,
        space=str(SPACE),
        set=dict(part.set),
        study=f"scores-{part.name}",
        storage=storage,
        repeats=part.n_repeats,
        lanes=8,
        metric="stress_accuracy",
        command="python -m studies.scores",
        trials=part.n_configurations,
        sampler="random",
        pruner="none",
        finalists=0,
    )
    with open_session(plan_search([], settings)) as session:
        print(f"{part.name}: {session.source.n_left()} to do", file=sys.stderr, flush=True)
        follow_to_end(session, is_quiet=False)
        summary = summarize(session.study)
    found = []
    for configuration in summary.configurations:
        names = [r.run for r in configuration.repeats if r.state == "complete" and r.run]
        runs = [run for name in names if (run := session.runs.read(name))]
        if len(runs) >= part.n_repeats:
            found.append(runs)
    return found


def write_shifted_phantom(folder: Path) -> Path:
    """Write the phantom's pool and three tests in a row, as the four files of the course.

    The tests are its own, another pose and another detector.
    """
    if not folder.is_dir():
        phantom = open_data(None)
        pixels, labels = phantom.pixels_at(_SIZE), phantom.labels
        is_test = phantom.split == TEST
        folder.mkdir(parents=True)
        for label, name in ((NORMAL, "normal"), (PNEUMONIA, "pneumonia")):
            np.save(folder / f"{name}.npy", pixels[~is_test & (labels == label)])
            own = pixels[is_test & (labels == label)]
            shifted = [own, _other_pose(own), _other_detector(own)]
            np.save(folder / f"test_{name}.npy", np.concatenate(shifted))
    return folder


def _other_pose(images: Pixels) -> Pixels:
    """Cut the left 5 and the upper 15 % off, as if a child had slipped down and leaned."""
    left, top = round(0.05 * _SIZE), round(0.15 * _SIZE)
    cut = (Image.fromarray(image[top:, left:]) for image in images)
    return np.stack([np.asarray(image.resize((_SIZE, _SIZE))) for image in cut])


def _other_detector(images: Pixels) -> Pixels:
    """Bend the gray scale (gamma 1.6) and let it fall off towards the right by a fifth."""
    bent = 255 * (images / 255) ** 1.6 * np.linspace(1.0, 0.8, _SIZE)
    return np.clip(np.round(bent), 0, 255).astype(np.uint8)
