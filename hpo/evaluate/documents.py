"""An evaluation as plain data: what JSON shows, and what the study keeps for its pages."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hpo.evaluate.records import (
    CalibrationBin,
    Confusion,
    Ensemble,
    Evaluated,
    Evaluation,
    Roc,
)
from hpo.stats import Interval, PairComparison


def to_document(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain data."""
    return {
        "study": evaluation.study,
        "threshold": evaluation.threshold,
        "n_images": evaluation.n_images,
        "n_normal": evaluation.n_normal,
        "n_pneumonia": evaluation.n_pneumonia,
        "n_patients": evaluation.n_patients,
        "configurations": [_configuration(c) for c in evaluation.configurations],
        "verdict": {"pairs": [asdict(pair) for pair in evaluation.pairs]},
        "notes": list(evaluation.notes),
    }


def from_document(document: Mapping[str, Any]) -> Evaluation:
    """Return the evaluation that `to_document` wrote."""
    return Evaluation(
        study=document["study"],
        threshold=document["threshold"],
        n_normal=document["n_normal"],
        n_pneumonia=document["n_pneumonia"],
        n_patients=document["n_patients"],
        configurations=tuple(_evaluated(c) for c in document["configurations"]),
        pairs=tuple(PairComparison(**pair) for pair in document["verdict"]["pairs"]),
        notes=tuple(document["notes"]),
    )


def _configuration(evaluated: Evaluated) -> dict[str, Any]:
    counts = asdict(evaluated.confusion)
    n_repeats = len(evaluated.trials)
    return {
        "name": evaluated.name,
        "value": evaluated.value,
        "params": dict(evaluated.params),
        "trials": list(evaluated.trials),
        "thresholds": list(evaluated.thresholds),
        "metrics": {name: _interval(i) for name, i in evaluated.metrics.items()},
        "n_right": evaluated.n_right,
        "confusion": {
            "sum": counts,
            "mean": {name: count / n_repeats for name, count in counts.items()},
        },
        "gap": {name: _interval(i) for name, i in evaluated.gap.items()},
        "roc": {name: list(values) for name, values in asdict(evaluated.roc).items()},
        "calibration": [asdict(one) for one in evaluated.calibration],
        "notes": list(evaluated.notes),
        "signs": list(evaluated.signs),
        "ensemble": _ensemble(evaluated.ensemble) if evaluated.ensemble else None,
    }


def _ensemble(ensemble: Ensemble) -> dict[str, Any]:
    return {
        "n": ensemble.n,
        "threshold": ensemble.threshold,
        "metrics": {name: _interval(i) for name, i in ensemble.metrics.items()},
        "n_right": ensemble.n_right,
        "confusion": asdict(ensemble.confusion),
    }


def _evaluated(document: Mapping[str, Any]) -> Evaluated:
    return Evaluated(
        name=document["name"],
        value=document["value"],
        params=document["params"],
        trials=tuple(document["trials"]),
        thresholds=tuple(document["thresholds"]),
        metrics={name: _to_interval(d) for name, d in document["metrics"].items()},
        gap={name: _to_interval(d) for name, d in document["gap"].items()},
        confusion=Confusion(**document["confusion"]["sum"]),
        roc=Roc(**{name: tuple(values) for name, values in document["roc"].items()}),
        calibration=tuple(CalibrationBin(**one) for one in document["calibration"]),
        notes=tuple(document["notes"]),
        signs=tuple(document["signs"]),
        # Absent from what was opened before there were ensembles.
        ensemble=_to_ensemble(document.get("ensemble")),
    )


def _to_ensemble(document: Mapping[str, Any] | None) -> Ensemble | None:
    if document is None:
        return None
    return Ensemble(
        n=document["n"],
        threshold=document["threshold"],
        metrics={name: _to_interval(d) for name, d in document["metrics"].items()},
        confusion=Confusion(**document["confusion"]),
    )


def _interval(interval: Interval) -> dict[str, Any]:
    return {
        "value": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "deviation": interval.deviation,
        "n_repeats": interval.n,
    }


def _to_interval(document: Mapping[str, Any]) -> Interval:
    return Interval(
        document["value"],
        document["low"],
        document["high"],
        document["deviation"],
        document["n_repeats"],
    )
