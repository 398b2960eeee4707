"""`python -m studies.scores --data PATH --medmnist FILE`: train what is missing."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hpo.errors import HpoError
from hpo.storage_url import DEFAULT_URL
from studies.scores.shifted import write
from studies.scores.work import Part, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command and return its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        for part in _parts(asked):
            train(part, storage=asked.storage)
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
    add("--data", type=Path, default=os.environ.get("HPO_DATA"), help="the X-rays (HPO_DATA)")
    add("--medmnist", type=Path, help="PneumoniaMNIST's file, or one like it")
    add("--configurations", type=int, default=320, help="fewer for a quick try")
    add("--storage", default=os.environ.get("HPO_STORAGE", DEFAULT_URL), metavar="URL")
    return parser


def _parts(asked: argparse.Namespace) -> list[Part]:
    n = asked.configurations
    phantom = write(Path("studies") / "shifted-phantom")
    parts = [Part(name="phantom", data=phantom, n_configurations=n, n_repeats=1, set={})]
    if asked.medmnist:
        small = {"image_size": "28"}
        parts.append(
            Part(name="medmnist", data=asked.medmnist, n_configurations=n, n_repeats=1, set=small)
        )
    if asked.data:
        parts.append(Part(name="x-rays", data=asked.data, n_configurations=n, n_repeats=5, set={}))
    return parts[::-1]


if __name__ == "__main__":
    sys.exit(main())
