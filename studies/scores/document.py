"""SCORES.md: the plan, a table for each data set and half of its test, and what follows."""

from collections.abc import Mapping, Sequence
from typing import Final

import studies.scores
from hpo.study.score import DEFAULT_METRICS, SCORES
from studies.scores.rules import N_DRAWS, SEARCH_SIZE, Estimate, Judged
from studies.scores.targets import TARGETS

_HEAD: Final = """\
# Which score chooses models that hold up on images from elsewhere

`python -m studies.scores --data CHEST_XRAY --medmnist FILE.npz --open` trains what is missing and
writes this file; with the same run store it is the same file.

## The plan, as it stood before the first training
"""


def document(
    tables: Mapping[str, Sequence[Judged]], notes: Mapping[str, str], missing: Sequence[str]
) -> str:
    """Return the page: a table for each title, with a note on what it is made from.

    `missing` names the data sets of the plan that are not told yet.
    """
    plan = (studies.scores.__doc__ or "").split(" is told here:\n")[-1]
    parts = [_HEAD, plan.strip(), "## What came out", _summary(tables)]
    for title, judged in tables.items():
        parts += [f"### {title}", notes[title], _table(judged)]
    if missing:
        parts.append(f"Not trained yet, so not told: {', '.join(missing)}.")
    return "\n\n".join(parts) + "\n"


def choose(judged: Sequence[Judged]) -> str:
    """Return the rule that the plan names: least regret in accuracy, not paid for in AUROC."""
    by_rule = {one.rule: one for one in judged}
    most = 2 * by_rule["accuracy"].regret["auroc"].value
    allowed = [one for one in judged if one.regret["auroc"].value <= most]
    return min(allowed, key=lambda one: one.regret["accuracy"].value).rule


def _summary(tables: Mapping[str, Sequence[Judged]]) -> str:
    """Return what choosing costs in test accuracy, in a line for each table."""
    default = DEFAULT_METRICS["search"]
    heads = ["tested on", "the plan's rule", SCORES[default].title, "plain accuracy"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    n_better = 0
    for title, judged in tables.items():
        by_rule = {one.rule: one for one in judged}
        found = choose(judged)
        cells = [f"{SCORES[found].title}: {_regret(by_rule[found])}"]
        cells += [_regret(by_rule[rule]) for rule in (default, "accuracy")]
        n_better += _of_accuracy(by_rule[default]).value < _of_accuracy(by_rule["accuracy"]).value
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + (
        "\n\nRegret in test accuracy, in points, by the score that chooses. That of "
        f"{SCORES[default].title}, the default of a search, is below that of plain accuracy in "
        f"{n_better} of {len(tables)} tables."
    )


def _regret(judged: Judged) -> str:
    regret = _of_accuracy(judged)
    return f"{100 * regret.value:.1f} ({100 * regret.low:.1f}, {100 * regret.high:.1f})"


def _of_accuracy(judged: Judged) -> Estimate:
    return judged.regret["accuracy"]


def _table(judged: Sequence[Judged]) -> str:
    names = [target.replace("_", " ").replace("auroc", "AUROC") for target in TARGETS]
    columns = [f"correlation, {name}" for name in names] + [f"regret, {name}" for name in names]
    lines = ["| chosen by | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for one in sorted(judged, key=lambda one: one.regret["accuracy"].value):
        cells = [f"{e.value:+.2f} ({e.low:+.2f}, {e.high:+.2f})" for e in _in_order(one, 0)]
        cells += [
            f"{100 * e.value:.1f} ({100 * e.low:.1f}, {100 * e.high:.1f})"
            for e in _in_order(one, 1)
        ]
        lines.append(f"| {SCORES[one.rule].title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + (
        f"\n\nRegret in points: the mean over {N_DRAWS:,} draws of {SEARCH_SIZE} configurations. "
        "In brackets 95 % intervals."
    )


def _in_order(judged: Judged, which: int) -> list[Estimate]:
    source = judged.regret if which else judged.correlation
    return [source[target] for target in TARGETS]
