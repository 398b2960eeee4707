"""`python -m studies.results --data PATH`: run what is missing, then write RESULTS.json and .md.

Without --data the .md is written again from the .json.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from hpo.choices import read_lanes
from hpo.cli.options import read_pairs
from hpo.errors import HpoError, UsageError
from hpo.files import write_atomic
from hpo.run.plan import MAX_REPEATS, Settings, plan_search
from hpo.storage.url import DEFAULT_URL
from studies.results.document import document
from studies.results.figures import Figures, read_figures, to_json
from studies.results.reports import SWEEPS, Sweep

RESULTS: Final = Path(__file__).parents[1] / "RESULTS.md"
_HINT: Final = "--out names another file; nothing has to be trained again."


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command and return its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        return _results(asked)
    except HpoError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted. What is finished is kept: the same command goes on.", file=sys.stderr)
        return 130


def _results(asked: argparse.Namespace) -> int:
    out = _out(asked)
    if asked.data:
        figures = _run(asked, is_whole=out == RESULTS)
        if out:
            write_atomic(out.with_suffix(".json"), to_json(figures), hint=_HINT)
    else:
        figures = read_figures((out or RESULTS).with_suffix(".json"))
    text = document(figures)
    if out is None:
        sys.stdout.write(text)
    else:
        write_atomic(out, text.encode(), hint=_HINT)
        print(f"Written: {out}", file=sys.stderr)
    n_failed = sum(result.n_failed for result in figures.results)
    if n_failed:
        print(f"{n_failed} trainings failed: their rows say why.", file=sys.stderr)
    return 1 if n_failed else 0


def _run(asked: argparse.Namespace, *, is_whole: bool) -> Figures:
    settings = Settings(
        data=asked.data,
        set=read_pairs("--set", asked.set),
        until_decided=True,
        max_repeats=asked.max_repeats,
        # The reports score the last weights; the average decides, and both are told.
        weights="average",
        epochs=asked.epochs,
        storage=asked.storage,
        device=asked.device,
        precision=asked.precision,
        lanes=read_lanes(asked.lanes),
    )
    sweeps = _chosen(asked.only, without_epochs=asked.epochs is not None)
    # After the usage is checked: Optuna and scikit-learn take a second to import.
    from studies.results import work

    tasks = work.prepare(sweeps, settings)
    is_searched = is_whole or asked.search
    return work.finish(
        tasks,
        plan_search([], replace(settings, weights=None, **work.SEARCH)) if is_searched else None,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studies.results", description=__doc__)
    add = parser.add_argument
    add("--data", default=os.environ.get("HPO_DATA"), help="the X-rays (HPO_DATA)")
    lanes = os.environ.get("HPO_LANES", "auto")
    add("--lanes", default=lanes, metavar="auto|N", help="trainings at a time (HPO_LANES)")
    add("--only", action="append", default=[], metavar="SWEEP", help="report_a:loss or report_a")
    add("--max-repeats", type=int, default=MAX_REPEATS, help="the most, where pairs are undecided")
    add("--epochs", type=int, help="for a quick try; leaves out the sweeps of epochs")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="for a quick try")
    add("--search", action="store_true", help="add the default search to a part as well")
    add("--out", type=Path, help="default: RESULTS.md; a part or a quick try is printed")
    add("--storage", default=os.environ.get("HPO_STORAGE", DEFAULT_URL), metavar="URL")
    add("--device", default="auto")
    add("--precision", default="auto")
    return parser


def _out(asked: argparse.Namespace) -> Path | None:
    """Return where to write; None is standard output.

    Raises:
        UsageError: a part or a quick try would replace the results.
    """
    is_partial = bool(asked.only or asked.set or asked.epochs is not None)
    out: Path | None = asked.out or (None if is_partial else RESULTS)
    if is_partial and out and out.resolve() == RESULTS.resolve():
        raise UsageError(
            f"{RESULTS.name} holds all sweeps as they are prescribed: with --only, --set or "
            "--epochs give --out another file, or leave it out to see the result."
        )
    return out


def _chosen(only: Sequence[str], *, without_epochs: bool) -> list[Sweep]:
    unknown = [name for name in only if not any(name in (s.key, s.space) for s in SWEEPS)]
    if unknown:
        raise UsageError(
            f"--only takes a sweep or a report, but got {', '.join(unknown)}. There are: "
            f"{', '.join(sweep.key for sweep in SWEEPS)}."
        )
    chosen = [s for s in SWEEPS if not only or s.key in only or s.space in only]
    kept = [s for s in chosen if not (without_epochs and s.name == "epochs")]
    if not kept:
        raise UsageError("--epochs leaves nothing of a sweep of epochs: drop one of the two.")
    return kept


def _end(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # ended from outside, the processes that train end as well
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main())
