"""Figures of a study, each in two steps: extract a record, then draw it.

`…_info` is pure and returns a frozen record with its caption; `draw_…` takes the record and knows
nothing of studies. Names from outside are made harmless where a record is drawn.
"""

from plotly.graph_objects import Figure

from hpo.plots.battery import BatteryInfo, BatteryRow, battery_info, draw_battery, loss_text
from hpo.plots.calibration import (
    CalibrationCurve,
    CalibrationInfo,
    calibration_info,
    draw_calibration,
)
from hpo.plots.curves import (
    Curve,
    CurvesInfo,
    curve_colors,
    curves_info,
    draw_curves,
    overlay_info,
)
from hpo.plots.history import HistoryInfo, HistoryPoint, draw_history, history_info
from hpo.plots.importances import (
    Importance,
    ImportanceInfo,
    draw_importances,
    importance_info,
)
from hpo.plots.labels import (
    configuration_label,
    interval_text,
    mean_text,
    parameter_text,
    percent,
    score_text,
)
from hpo.plots.roc import RocCurve, RocInfo, draw_roc, roc_info
from hpo.plots.scores import Reference, ScoreAxis
from hpo.plots.slices import SliceInfo, SlicePoint, draw_slice, slice_infos, slices_caption
from hpo.plots.style import figure_json, plotly_script
from hpo.plots.sweep import SweepCell, SweepInfo, draw_sweep, sweep_info

__all__ = [
    "BatteryInfo",
    "BatteryRow",
    "CalibrationCurve",
    "CalibrationInfo",
    "Curve",
    "CurvesInfo",
    "Figure",
    "HistoryInfo",
    "HistoryPoint",
    "Importance",
    "ImportanceInfo",
    "Reference",
    "RocCurve",
    "RocInfo",
    "ScoreAxis",
    "SliceInfo",
    "SlicePoint",
    "SweepCell",
    "SweepInfo",
    "battery_info",
    "calibration_info",
    "configuration_label",
    "curve_colors",
    "curves_info",
    "draw_battery",
    "draw_calibration",
    "draw_curves",
    "draw_history",
    "draw_importances",
    "draw_roc",
    "draw_slice",
    "draw_sweep",
    "figure_json",
    "history_info",
    "importance_info",
    "interval_text",
    "loss_text",
    "mean_text",
    "overlay_info",
    "parameter_text",
    "percent",
    "plotly_script",
    "roc_info",
    "score_text",
    "slice_infos",
    "slices_caption",
    "sweep_info",
]
