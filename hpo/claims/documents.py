"""What the curves say, as JSON."""

from dataclasses import asdict
from typing import Any

from hpo.claims.records import Claim, ClaimsSummary, Measured


def to_document(summary: ClaimsSummary) -> dict[str, Any]:
    """Return the claims as plain data: each with its values, and a verdict per pair."""
    return {
        "target": {"accuracy": summary.target.accuracy, "chosen": summary.target.chosen},
        "horizon": summary.horizon,
        "claims": [_claim(claim, summary) for claim in summary.claims],
        "notes": list(summary.notes),
    }


def _claim(claim: Claim, summary: ClaimsSummary) -> dict[str, Any]:
    return {
        "name": claim.kind.name,
        "about": claim.kind.about,
        "unit": claim.kind.unit,
        "better": "high" if claim.kind.is_better_high else "low",
        "configurations": [_measured(m, claim, summary) for m in claim.measured],
        "verdict": {"pairs": [asdict(pair) for pair in claim.pairs]},
    }


def _measured(measured: Measured, claim: Claim, summary: ClaimsSummary) -> dict[str, Any]:
    interval = measured.interval
    document = {
        "params": dict(summary.configurations[measured.value].params),
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "deviation": interval.deviation,
        "n": interval.n,
        "repeats": list(measured.repeats),
    }
    return document | ({"n_never": measured.n_never} if claim.kind.event else {})
