"""`python -m studies.scores --data PATH --medmnist FILE`: train, write SCORES.json and SCORES.md.

Without both options the .md is written again from the .json.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import TEST
from hpo.data.source import open_data
from hpo.errors import HpoError
from hpo.files import write_atomic
from hpo.storage.url import DEFAULT_URL
from hpo.training.engine import Run
from studies.scores.document import Findings, choose, document, read_findings, to_json
from studies.scores.rules import Judged, gather, halves, judge
from studies.scores.work import SHIFTS, Part, train, write_shifted_phantom

NAMES: Final = ("x-rays", "medmnist", "phantom")
SCORES: Final = Path(__file__).parents[1] / "SCORES.md"
_HINT: Final = "Give another file with --out."


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command and return its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        figures = asked.out.with_suffix(".json")
        if asked.data or asked.medmnist:
            parts = {part: train(part, storage=asked.storage) for part in _parts(asked)}
            write_atomic(figures, to_json(_judge(parts, is_open=asked.open)), hint=_HINT)
        write_atomic(asked.out, document(read_findings(figures)).encode(), hint=_HINT)
    except HpoError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted. What is finished is kept: the same command goes on.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studies.scores", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, help="the X-rays")
    add("--medmnist", type=Path, help="PneumoniaMNIST's file, or one like it")
    add("--configurations", type=int, default=300, help="fewer for a quick try")
    add("--without-phantom", action="store_true", help="for now; the same command adds it")
    add("--open", action="store_true", help="look at the half of the test that is kept back")
    add("--out", type=Path, default=SCORES)
    add("--storage", default=os.environ.get("HPO_STORAGE", DEFAULT_URL), metavar="URL")
    return parser


def _parts(asked: argparse.Namespace) -> Iterator[Part]:
    n = asked.configurations
    if asked.data:
        yield Part(name="x-rays", data=asked.data, n_configurations=n, n_repeats=5)
    if asked.medmnist:
        size = (("image_size", "28"),)
        yield Part(name="medmnist", data=asked.medmnist, n_configurations=n, n_repeats=1, set=size)
    if not asked.without_phantom:
        phantom = write_shifted_phantom(Path("studies") / "shifted-phantom")
        yield Part(name="phantom", data=phantom, n_configurations=n, n_repeats=1)


def _judge(parts: dict[Part, list[list[Run]]], *, is_open: bool) -> Findings:
    tables: dict[str, tuple[Judged, ...]] = {}
    notes: dict[str, str] = {}
    for part, trained in parts.items():
        dataset = open_data(part.data)
        for shift, among in _tests(part, len(dataset.where(TEST))):
            for half, chosen in halves(dataset, among).items():
                if half == "kept_back" and not is_open:
                    continue
                title = f"{part.name}{shift}, {half.replace('_', ' ')}"
                tables[title] = tuple(judge(trained, gather(trained, dataset, chosen)))
                notes[title] = (
                    f"{len(trained)} configurations, {part.n_repeats} trainings of each, "
                    f"{len(chosen)} test images. By the plan's rule this table would choose "
                    f"`{choose(tables[title])}`."
                )
                print(title, notes[title], file=sys.stderr, flush=True)
    there = {part.name for part in parts}
    return Findings(tables, notes, tuple(name for name in NAMES if name not in there))


def _tests(part: Part, n_test: int) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield the tests of a data set: the phantom's shifts lie in each class one after another."""
    if part.name != "phantom":
        yield "", np.arange(n_test)
        return
    places = np.arange(n_test).reshape(2, len(SHIFTS), -1)
    for index, shift in enumerate(SHIFTS):
        yield f" with {shift}", places[:, index].reshape(-1)


if __name__ == "__main__":
    sys.exit(main())
