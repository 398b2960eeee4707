"""One row per sweep: what its report found, what was found here, what became of its claims."""

from collections.abc import Sequence
from typing import Final

from hpo.stats.sentences import label
from hpo.study.summary import Configuration
from studies.results.evidence import Result
from studies.results.words import NONE, count, estimate, table

HEADER: Final = (
    "Report",
    "Sweep",
    "What the report found",
    "Here, on validation",
    "Here, on the test",
    "What became of its claims",
)


def title(result: Result) -> str:
    """Return the heading of a sweep's section."""
    return f"Report {result.sweep.report}, {result.sweep.name}"


def overview(results: Sequence[Result]) -> list[str]:
    """Return the table of all sweeps."""
    return table(HEADER, [_row(result) for result in results])


def failures(configuration: Configuration) -> str:
    """Say how many repeats failed and why; nothing where none did."""
    failed = [r for r in configuration.repeats if r.state == "failed"]
    if not failed:
        return ""
    reasons = dict.fromkeys((r.reason or "the reason is not known").rstrip(".") for r in failed)
    return f"{len(failed)} of {len(configuration.repeats)} repeats failed: {'; '.join(reasons)}"


def _row(result: Result) -> list[str]:
    sweep = result.sweep
    anchor = title(result).lower().replace(",", "").replace(" ", "-")
    return [
        sweep.report,
        f"[{sweep.name}](#{anchor})",
        sweep.found,
        "; ".join(_validation(c) for c in result.summary.configurations),
        _test(result),
        "; ".join(f"{v.claim.text}: **{v.outcome}**" for v in result.verdicts) or NONE,
    ]


def _validation(configuration: Configuration) -> str:
    failed = failures(configuration)
    found = f"{label(configuration.value)}: {estimate(configuration.score)}"
    return f"{found} [{failed}]" if failed else found


def _test(result: Result) -> str:
    if result.evaluation is None:
        n_failed = result.summary.count("failed")
        return f"sealed: {count(n_failed, 'training')} failed" if n_failed else "sealed"
    return "; ".join(
        f"{label(e.value)}: {estimate(e.metrics['accuracy'])}"
        for e in result.evaluation.configurations
    )
