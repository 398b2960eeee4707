"""Numbers, lists and tables as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hpo.stats import Interval
from hpo.tables import DASH
from hpo.views.evaluations import interval_text

NONE: Final = DASH


def percent(share: float) -> str:
    """Write a share in percent, without the sign."""
    return f"{100 * share:.1f}"


def estimate(interval: Interval | None, *, decimals: int = 1, factor: float = 100) -> str:
    """Write a mean with its interval: `95.3 (94.8 to 95.8)`."""
    return interval_text(interval, "{} ({} to {})", factor, f".{decimals}f")


def test_cells(metrics: Mapping[str, Interval]) -> list[str]:
    """Write accuracy, sensitivity, specificity and AUROC; dashes while the test is sealed."""
    shares = [estimate(metrics.get(name)) for name in ("accuracy", "sensitivity", "specificity")]
    return [*shares, estimate(metrics.get("auroc"), decimals=3, factor=1)]


def count(n: int, noun: str) -> str:
    """Write `1 sweep`, `16 sweeps`, `no sweeps`."""
    return f"{n or 'no'} {noun if n == 1 else noun + 's'}"


def listed(items: Sequence[str]) -> str:
    """Write `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def stopped(text: str) -> str:
    """End with one full stop; a value that begins a sentence keeps its small letter."""
    return text.rstrip(".") + "."


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop."""
    return stopped(text[:1].upper() + text[1:])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; what would end a cell is escaped."""
    lines = [[_plain(cell).replace("|", r"\|") for cell in cells] for cells in (header, *rows)]
    first, *others = (f"| {' | '.join(cells)} |" for cells in lines)
    return [first, "|" + " --- |" * len(header), *others]


def bullets(items: Iterable[str]) -> list[str]:
    """Return the lines of a list."""
    return [f"- {_plain(item)}" for item in items]


def _plain(text: str) -> str:
    """Return text from outside on one line, so that it ends no list and no table."""
    return " ".join(text.split())
