"""Which of very many configurations a figure draws.

A browser takes seconds over tens of thousands of marks, and the page many megabytes. (WebGL would
draw them all, but its drawing compiles code, which the page's policy forbids.)
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def thinned(items: Sequence[T], rank: Callable[[T], tuple[bool, float]], *, most: int) -> list[T]:
    """Return at most so many, in their order: the best third of these, and each n-th other.

    The others are counted off by rank, so that each range of ranks keeps its share.
    """
    if len(items) <= most:
        return list(items)
    n_best = most // 3
    ranked = sorted(range(len(items)), key=lambda i: rank(items[i]), reverse=True)
    step = _step(len(items), most)
    return [items[i] for i in sorted(ranked[:n_best] + ranked[n_best::step])]


def thinned_text(n_items: int, noun: str, *, most: int) -> str:
    """Say what is drawn, as a sentence after others; nothing where all are."""
    if n_items <= most:
        return ""
    n_best, step = most // 3, _step(n_items, most)
    n_drawn = n_best + math.ceil((n_items - n_best) / step)
    return (
        f" Of {n_items:,} {noun} {n_drawn:,} are drawn: the best {n_best:,}, and of the others "
        f"every {_ordinal(step)} by score."
    )


def _step(n_items: int, most: int) -> int:
    n_best = most // 3
    return math.ceil((n_items - n_best) / (most - n_best))


def _ordinal(n: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{'th' if n % 100 in (11, 12, 13) else ending}"
