"""The stress battery on the page: what the best configuration cannot stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hpo.plots.stress import draw_stress, stress_info
from hpo.report.figures import FigureBlock, block
from hpo.storage.runs import RunStore
from hpo.study.summary import StudySummary

CHANGES: Final[Mapping[str, str]] = {
    "shifted": "right and down, each by up to a tenth of the side",
    "tilted": "turned by up to 5.7 degrees and sheared by up to a tenth",
    "larger": "the chest takes 10 % more of the side",
    "smaller": "the chest takes 10 % less of the side",
    "wider": "width against height 10 % more",
    "narrower": "width against height 10 % less",
    "brighter": "by 15 % of the range of gray",
    "darker": "by 15 % of the range of gray",
    "more contrast": "by a factor of 1.3",
    "less contrast": "by a factor of 0.7",
    "noisy": "normal noise with a deviation of 6 % of the range of gray",
    "blurred": "a normal blur with a deviation of 0.6 % of the side",
}
"""What each change is, in short (docs/stress.md)."""


@dataclass(frozen=True, kw_only=True)
class BatterySection:
    """The section: the worst change in a sentence, the figure, what the changes are.

    A row is a change: its name, the metric, what it loses to the unchanged images, what it is.
    """

    sentence: str
    figure: FigureBlock
    metric: str
    unchanged: str
    rows: tuple[tuple[str, str, str, str], ...]


def battery_section(summary: StudySummary, runs: RunStore) -> BatterySection | None:
    """Return the battery of the best configuration; None where its runs hold none."""
    info = stress_info(summary, runs)
    if info is None:
        return None
    score = info.axis.score
    drawing = draw_stress(info)
    return BatterySection(
        sentence=info.sentence,
        figure=block("battery", "What this model cannot stand", info.caption, drawing),
        metric=score.title,
        unchanged=score.text(info.unchanged),
        rows=tuple(
            (change, *info.texts(change), CHANGES.get(change, "")) for change in info.scores
        ),
    )
