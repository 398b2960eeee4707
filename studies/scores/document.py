"""SCORES.md: the plan, a table for each data set and half of its test, and what follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

import studies.scores
from hpo.errors import UsageError, first_fault
from hpo.study.score import DEFAULT_METRICS, SCORES
from studies.scores.rules import N_DRAWS, SEARCH_SIZE, TARGETS, Estimate, Judged

_HEAD: Final = """\
# Which score chooses models that hold up on images from elsewhere

`python -m studies.scores --data CHEST_XRAY --medmnist FILE.npz --open` trains what is missing and
writes this file, and its figures into SCORES.json, from which `python -m studies.scores` writes it
again.

## The plan, as it stood before the first training
"""


@dataclass(frozen=True)
class Findings:
    """Every rule judged, by the title of the test; a note says what that is made from.

    `missing` names the data sets of the plan that are still missing.
    """

    tables: Mapping[str, tuple[Judged, ...]]
    notes: Mapping[str, str]
    missing: tuple[str, ...]


_FINDINGS: Final = TypeAdapter(Findings)


def to_json(findings: Findings) -> bytes:
    """Return the findings as a JSON document."""
    return _FINDINGS.dump_json(findings, indent=1) + b"\n"


def read_findings(path: Path) -> Findings:
    """Read what `to_json` wrote.

    Raises:
        UsageError: it does not exist, or is not such a document.
    """
    try:
        return _FINDINGS.validate_json(path.read_bytes())
    except OSError:
        raise UsageError(
            f"There are no findings in {path} yet: give --data or --medmnist."
        ) from None
    except ValidationError as error:
        raise UsageError(f"{path} cannot be read: {first_fault(error)}") from None


def document(findings: Findings) -> str:
    """Return the page: a table for each title."""
    plan = (studies.scores.__doc__ or "").split(" is told here:\n")[-1]
    parts = [_HEAD, plan.strip(), "## What came out", _summary(findings.tables)]
    for title, judged in findings.tables.items():
        parts += [f"### {title}", findings.notes[title], _table(judged)]
    if findings.missing:
        parts.append(f"Not trained yet: {', '.join(findings.missing)}.")
    return "\n\n".join(parts) + "\n"


def choose(judged: Sequence[Judged]) -> str:
    """Return the rule that the plan names: lowest regret in accuracy, if that in AUROC allows."""
    (plain,) = (one for one in judged if one.rule == "accuracy")
    most = 2 * plain.regret["auroc"][0]
    allowed = [one for one in judged if one.regret["auroc"][0] <= most]
    return min(allowed, key=lambda one: one.regret["accuracy"][0]).rule


def _summary(tables: Mapping[str, Sequence[Judged]]) -> str:
    """Return the regret in test accuracy, one line for each table."""
    default = DEFAULT_METRICS["search"]
    rows = [["tested on", "the plan's rule", SCORES[default].title, "plain accuracy"]]
    n_better = 0
    for title, judged in tables.items():
        regrets = {one.rule: one.regret["accuracy"] for one in judged}
        found = choose(judged)
        others = [_points(regrets[rule]) for rule in (default, "accuracy")]
        rows.append([title, f"{SCORES[found].title}: {_points(regrets[found])}", *others])
        n_better += regrets[default][0] < regrets["accuracy"][0]
    return _lines(rows) + (
        "\n\nRegret in test accuracy, in points, by the score that chooses. That of "
        f"{SCORES[default].title}, the default of a search, is below that of plain accuracy in "
        f"{n_better} of {len(tables)} tables."
    )


def _table(judged: Sequence[Judged]) -> str:
    names = [target.replace("_", " ").replace("auroc", "AUROC") for target in TARGETS]
    columns = [f"{kind}, {name}" for kind in ("correlation", "regret") for name in names]
    rows = [["chosen by", *columns]]
    for one in sorted(judged, key=lambda one: one.regret["accuracy"][0]):
        correlations = ("{:+.2f} ({:+.2f}, {:+.2f})".format(*one.correlation[t]) for t in TARGETS)
        regrets = (_points(one.regret[target]) for target in TARGETS)
        rows.append([SCORES[one.rule].title, *correlations, *regrets])
    return _lines(rows) + (
        f"\n\nRegret in points: the mean over {N_DRAWS:,} draws of {SEARCH_SIZE} configurations. "
        "In brackets 95 % intervals."
    )


def _points(regret: Estimate) -> str:
    value, low, high = (100 * x for x in regret)
    return f"{value:.1f} ({low:.1f}, {high:.1f})"


def _lines(rows: Sequence[Sequence[str]]) -> str:
    first, *others = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([first, "|---" * len(rows[0]) + "|", *others])
