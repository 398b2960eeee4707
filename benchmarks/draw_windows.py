"""Draw docs/windows.png: `python -m benchmarks.draw_windows`.

The quality of a search by its window; the numbers are those of ray_windows.json. Needs Chromium.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import plotly.graph_objects as go

from benchmarks.draw_stack import COLORS
from benchmarks.machine import ROOT
from docs.picture import take_picture

_RESULT: Final = Path(__file__).parent / "results" / "ray_windows.json"


def main() -> None:
    """Draw a line for each number of trials, with the standard errors of its means."""
    found = json.loads(_RESULT.read_text(encoding="utf-8"))
    windows, figure = found["windows"], go.Figure()
    for i, n_trials in reversed([*enumerate(found["after_trials"])]):
        figure.add_scatter(
            x=[str(row["window"]) for row in windows],
            y=[100 * row["best"][i] for row in windows],
            error_y={"array": [100 * row["error"][i] for row in windows], "thickness": 1},
            name=f"{n_trials} trials",
            line={"color": COLORS[i]},
        )
    figure.update_layout(
        template="plotly_white",
        width=800,
        height=400,
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        xaxis={"title": "window: configurations in progress", "type": "category"},
        yaxis={"title": "true score of the best, %"},
    )
    with TemporaryDirectory() as folder:
        page = Path(folder) / "windows.html"
        figure.write_html(page, config={"displayModeBar": False})
        take_picture(page, ROOT / "docs" / "windows.png", size="816,416")


if __name__ == "__main__":
    main()
