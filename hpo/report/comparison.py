"""The page that compares studies."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from hpo.evaluate.studies import Comparison
from hpo.files import write_page
from hpo.plots.axes import PALETTE, interval_text, mean_text
from hpo.plots.curves import draw_curves, overlay_info
from hpo.report.figures import FigureBlock, block
from hpo.report.template import fill
from hpo.stats import PairComparison, outcome
from hpo.storage.runs import RunStore
from hpo.storage.url import storage_option


@dataclass(frozen=True)
class Line:
    """One line of the verdict."""

    text: str
    is_real: bool


def write_comparison(comparison: Comparison, runs: RunStore, path: Path) -> None:
    """Write the page of a comparison.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    studies = comparison.summaries
    names = shlex.join(summary.name for summary in studies) + storage_option(studies[0].storage)
    write_page(path, render_comparison(comparison, runs), again=f"hpo compare {names}")


def render_comparison(comparison: Comparison, runs: RunStore) -> str:
    """Return the page as HTML."""
    return fill(
        "comparison.html",
        {
            "summaries": comparison.summaries,
            "data": comparison.summaries[0].record.data,
            "lines": [_line(said) for said in outcome(comparison.verdict)],
            "notes": comparison.notes,
            "figure": curves(comparison, runs),
            "entries": comparison.entries,
            "score": comparison.score,
            "mean_text": mean_text,
            "interval_text": interval_text,
            "best": comparison.best,
        },
    )


def curves(comparison: Comparison, runs: RunStore) -> FigureBlock | None:
    """Return the curves of all configurations in one figure: of many, the best."""
    entries = comparison.entries
    best = sorted(entries, key=lambda entry: entry.rank, reverse=True)[: len(PALETTE)]
    shown = [(entry.name, entry.configuration) for entry in entries if entry in best]
    left_out = ""
    if len(shown) < len(entries):
        left_out = f" Of {len(entries)} configurations, the best {len(shown)} are shown."
    info = overlay_info(shown, runs, score=comparison.score, left_out=left_out)
    if info is None:
        return None
    return block("curves", "Curves", info.caption, draw_curves(info))


def _line(said: PairComparison | str) -> Line:
    return Line(said, False) if isinstance(said, str) else Line(said.sentence, said.is_real)
