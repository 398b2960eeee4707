"""A summary as the JSON document that `--json` prints."""

from dataclasses import asdict
from typing import Any

from hpo.stats import Interval, SweepComparison
from hpo.study.score import Score
from hpo.study.test_access import to_documents
from hpo.summary.finalists import Finalists
from hpo.summary.records import Configuration, Repeat, ReportBase, StudySummary


def to_document(summary: StudySummary) -> dict[str, Any]:
    """Return the summary as the JSON document that `--json` prints."""
    data, kind = summary.record.data, summary.record.score.kind
    document: dict[str, Any] = {
        "study": summary.name,
        "kind": summary.record.kind,
        "storage": summary.storage,
        "score": {"name": summary.record.metric, "direction": kind.direction},
        "window": summary.record.window or None,
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "is_phantom": data.is_phantom,
            "n_train": data.n_train,
            "n_validation": data.n_validation,
            "n_test": data.n_test,
            "notes": list(data.notes),
        },
        "baselines": dict(summary.baselines),
        "configurations": [
            {"number": c.number, **_configuration_document(c)} for c in summary.configurations
        ],
        "best": None,
        "verdict": _verdict_document(summary.verdict),
        "finalists": _finalists_document(summary.finalists, summary.record.score),
        "reports": [_report_document(base) for base in summary.reports],
        "n_openings": len(summary.openings),
        "openings": to_documents(summary.openings),
        "damaged": list(summary.damaged),
        "foreign_trials": list(summary.foreign),
        "left_alone_trials": list(summary.left_alone),
        "n_trained": summary.n_trained,
        "n_reused": summary.n_reused,
        "report": summary.report,
    }
    if summary.best and (score := summary.best_score):
        document["best"] = {
            "number": summary.best.number,
            "params": dict(summary.best.params),
            "config": summary.best.config.to_mapping(),
            "score": score.mean,
        }
    return document


def _configuration_document(configuration: Configuration) -> dict[str, Any]:
    score = configuration.score
    return {
        "params": dict(configuration.params),
        "config": configuration.config.to_mapping(),
        "state": configuration.state,
        "score": score.mean if score else None,
        "low": score.low if score else None,
        "high": score.high if score else None,
        "fresh": _interval_document(configuration.fresh),
        "repeats": [_repeat_document(r) for r in configuration.repeats],
    }


def _finalists_document(finalists: Finalists | None, score: Score) -> dict[str, Any] | None:
    if finalists is None:
        return None
    return {
        "configurations": [
            {"number": m.number, "searched": m.searched, "fresh": _interval_document(m.fresh)}
            for m in finalists.members
        ],
        "winner": finalists.winner.number,
        "luck": finalists.luck(score),
        "pairs": [asdict(pair) for pair in finalists.verdict.pairs],
    }


def _report_document(base: ReportBase) -> dict[str, Any]:
    return {
        "report": base.name,
        **_configuration_document(base.configuration),
        "comparison": asdict(base.comparison) if base.comparison else None,
    }


def _interval_document(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {"score": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}


def _verdict_document(verdict: SweepComparison | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    left_out = {"n_pairs_left_out": verdict.n_left_out} if verdict.n_left_out else {}
    return {"pairs": [asdict(pair) for pair in verdict.pairs]} | left_out


def _repeat_document(repeat: Repeat) -> dict[str, Any]:
    return {
        "trial": repeat.trial,
        "repeat": repeat.number,
        "seed": repeat.seed,
        "fold": repeat.fold,
        "state": repeat.state,
        "score": repeat.score,
        "epochs": repeat.n_epochs,
        "seconds": repeat.seconds,
        "reason": repeat.reason,
        "metrics": {split: dict(values) for split, values in repeat.metrics.items()},
    }
