"""Draw the cost of a lane by the number of lanes, as measured by benchmarks/stack.py.

    python -m benchmarks.draw_stack FILE … --out docs/stack.svg

Both axes are logarithmic. A curve is one device, image size and number of processes; a dashed
line shows the time of the reports' loop on the device, if measured.
"""

import argparse
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.contenders import LOOP
from benchmarks.machine import ROOT

WIDTH, HEIGHT = 830, 440
LEFT, RIGHT, TOP, BOTTOM = 64, 560, 48, 384
LINE_HEIGHT = 17
PLACES = {"cpu": "CPU", "cuda": "GPU"}
# Okabe and Ito 2008, as on the pages.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, GRAY, GRID = "#333333", "#888888", "#E4E4E4"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


@dataclass(frozen=True)
class Curve:
    """`points` are lanes, median, low and high milliseconds; a single point is a level."""

    label: str
    points: tuple[tuple[int, float, float, float], ...]

    @property
    def is_level(self) -> bool:
        """Whether the curve is a reference line."""
        return len(self.points) == 1


@dataclass(frozen=True)
class Scale:
    """The positions of lanes and milliseconds in the picture."""

    most_lanes: int
    low: float
    high: float

    def x(self, lanes: float) -> float:
        """Return the position of a number of lanes."""
        share = math.log2(lanes) / max(1.0, math.log2(self.most_lanes))
        return round(LEFT + 16 + share * (RIGHT - LEFT - 32), 1)

    def y(self, milliseconds: float) -> float:
        """Return the position of a time."""
        share = math.log(milliseconds / self.low) / math.log(self.high / self.low)
        return round(BOTTOM - share * (BOTTOM - TOP), 1)


def main() -> None:
    """Read the measurements and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "stack.svg")
    arguments = parser.parse_args()
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.files]
    curves = [curve for document in documents for curve in read_curves(document)]
    arguments.out.write_text(draw(curves), encoding="utf-8")


def read_curves(document: dict[str, Any]) -> Iterator[Curve]:
    """Yield the levels and curves of every device in a document."""
    for device, parts in document.items():
        if epochs := parts.get("epochs"):
            loop, size = epochs["contenders"][LOOP], epochs["image_size"]
            name = f"{size} x {size}, {LOOP}, {PLACES[device]}"
            yield Curve(name, ((1, loop["median"], loop["low"], loop["high"]),))
        for curve in parts.get("lanes", {}).get("curves", []):
            label = _label(curve, parts["lanes"]["machine"].get("gpu"))
            yield Curve(label, _points(curve["lanes"]))


def draw(curves: Sequence[Curve]) -> str:
    """Return the picture as SVG."""
    scale = _scale(curves)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="{FONT}" font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT - 48, 24, "milliseconds per lane and epoch", "start"),
        *_axes(scale, sorted({point[0] for curve in curves for point in curve.points})),
    ]
    colors = iter(COLORS * len(curves))
    places = _spread_out([scale.y(curve.points[-1][1]) for curve in curves])
    for curve, place in zip(curves, places, strict=True):
        parts += _drawn(curve, scale, GRAY if curve.is_level else next(colors), place)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _label(curve: dict[str, Any], gpu: str | None) -> str:
    size, n = curve["image_size"], curve["n_processes"]
    cpu = f"up to {n} processes" if n > 1 else "one CPU core"
    return f"{size} x {size}, {gpu or cpu}"


def _points(lanes: dict[str, Any]) -> tuple[tuple[int, float, float, float], ...]:
    found = ((int(n), cost["median"], cost["low"], cost["high"]) for n, cost in lanes.items())
    return tuple(sorted(found))


def _scale(curves: Sequence[Curve]) -> Scale:
    points = [point for curve in curves for point in curve.points]
    low, high = min(point[2] for point in points), max(point[3] for point in points)
    return Scale(max(point[0] for point in points), low / 1.3, high * 1.3)


def _axes(scale: Scale, lanes: Iterable[int]) -> Iterator[str]:
    for value in _ticks(scale):
        y = scale.y(value)
        yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}" stroke="{GRID}"/>'
        yield _text(LEFT - 8, y + 4, f"{value:g}", "end")
    yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}" stroke="{GRAY}"/>'
    for n in lanes:
        x = scale.x(n)
        yield f'<line x1="{x}" x2="{x}" y1="{BOTTOM}" y2="{BOTTOM + 5}" stroke="{GRAY}"/>'
        yield _text(x, BOTTOM + 20, str(n), "middle")
    yield _text((LEFT + RIGHT) / 2, BOTTOM + 42, "lanes in the stack", "middle")


def _ticks(scale: Scale) -> Iterator[float]:
    """Yield 1, 2 and 5 of every power of ten within the scale."""
    for power in range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1):
        yield from (
            first * 10.0**power
            for first in (1, 2, 5)
            if scale.low <= first * 10.0**power <= scale.high
        )


def _drawn(curve: Curve, scale: Scale, color: str, place: float) -> Iterator[str]:
    """Yield a curve with its spreads, and its label at a height."""
    last = scale.y(curve.points[-1][1])
    start = RIGHT if curve.is_level else scale.x(curve.points[-1][0])
    if curve.is_level:
        line = f'x1="{LEFT}" x2="{RIGHT}" y1="{last}" y2="{last}"'
        yield f'<line {line} stroke="{color}" stroke-width="1.5" stroke-dasharray="6 4"/>'
    else:
        line = " ".join(f"{scale.x(n)},{scale.y(value)}" for n, value, _, _ in curve.points)
        yield f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>'
        for n, value, low, high in curve.points:
            x, ends = scale.x(n), f'y1="{scale.y(low)}" y2="{scale.y(high)}"'
            yield f'<line x1="{x}" x2="{x}" {ends} stroke="{color}" stroke-opacity="0.6"/>'
            yield f'<circle cx="{x}" cy="{scale.y(value)}" r="4" fill="{color}"/>'
    to = f'x1="{start + 6}" y1="{last}" x2="{RIGHT + 16}" y2="{place}"'
    yield f'<line {to} stroke="{color}" stroke-opacity="0.5"/>'
    yield _text(RIGHT + 20, place + 4, curve.label, "start")


def _spread_out(places: Sequence[float]) -> list[float]:
    """Move labels down until none overlap, and all of them up if one is too low."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + LINE_HEIGHT)
    too_low = max([0.0, *(place - BOTTOM for place in moved)])
    return [place - too_low for place in moved]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    text = escape(text.replace(" x ", " \N{MULTIPLICATION SIGN} "))
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'


if __name__ == "__main__":
    main()
