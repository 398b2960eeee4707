"""RESULTS.md, from the figures alone: the same figures give the same bytes."""

from collections.abc import Sequence
from typing import Final

from hpo.stats import PairComparison
from hpo.tables import duration
from studies.results.claims import MEASURES, OPEN
from studies.results.figures import WEIGHTS, Figures, Result, Search, Value, Verdict
from studies.results.markdown import (
    NONE,
    bullets,
    count,
    estimate,
    listed,
    percent,
    sentence,
    stopped,
    table,
    test_cells,
)
from studies.results.reports import SWEEPS
from studies.results.takeaways import distinct_values, takeaways

_HOW: Final = (
    "Validation decides: repeat i has the same seed and fold under every value, and the values of "
    "a sweep are compared pair by pair by their repeats, with intervals of 95 % that hold over "
    "all pairs and all looks (docs/verdicts.md). Of two values one is better, or no difference "
    "matters (one of a point is ruled out), or they are undecided. Every sweep got "
    "five repeats, and more, five at a time, while a pair was undecided.",
    "The test was opened after a sweep was complete, on record, at the fixed threshold 0.5; "
    "nothing was chosen by it. Its intervals count both other trainings and other patients.",
)


def document(figures: Figures) -> str:
    """Write the file."""
    results = figures.results
    phantom = "These are synthetic images (the phantom): the results do not apply to X-rays."
    lines = [
        f"# {count(len(results), 'sweep')} of five reports, run again",
        "",
        *_missing(results),
        *([phantom, ""] if figures.is_phantom else []),
        "## What to take from it",
        "",
        *takeaways(results),
        "## The sweeps",
        "",
        "Accuracies in percent: means of the repeats with their 95 % intervals.",
        "",
        *overview(results),
        "",
        "## Sweep by sweep",
        "",
        *(line for result in results for line in _section(result)),
        *(_search(figures.search) if figures.search else []),
        "## How it was made",
        "",
        *bullets(_facts(figures)),
    ]
    return "\n".join(lines) + "\n"


def _missing(results: Sequence[Result]) -> list[str]:
    """Name the sweeps that are not run yet."""
    done = {result.key for result in results}
    missing = [f"{one.name} (report {one.report})" for one in SWEEPS if one.key not in done]
    return [f"Not run again yet: {listed(missing)}.", ""] if missing else []


def overview(results: Sequence[Result]) -> list[str]:
    """Return the table of all sweeps, with a column per kind of weights."""
    kinds = [kind for kind in WEIGHTS if any(kind in result.verdicts for result in results)]
    rows = []
    for result in results:
        sweep = result.sweep
        anchor = _title(result).lower().replace(",", "").replace(" ", "-")
        validation = [
            f"{v.label}: {estimate(v.score)}" + (f" [{v.failures}]" if v.failures else "")
            for v in result.values
        ]
        test = "sealed" + (f": {count(n, 'training')} failed" if (n := result.n_failed) else "")
        if any(value.test for value in result.values):
            test = "; ".join(
                f"{v.label}: {estimate(v.test.get('accuracy'))}" for v in result.values
            )
        verdicts = [_headline(result.verdicts.get(kind)) for kind in kinds]
        claims = "; ".join(f"{c.text}: **{c.outcome}**" for c in result.claims) or NONE
        work = (str(result.n_repeats), duration(result.seconds))
        link = f"[{sweep.name}](#{anchor})"
        found = (sweep.found, *verdicts, "; ".join(validation), test, claims)
        rows.append([sweep.report, link, *work, *found])
    header = ("Report", "Sweep", "Repeats", "Trained in", "What the report found")
    verdict_columns = (f"Verdict by {WEIGHTS[kind]}" for kind in kinds)
    last = ("Here, on validation", "Here, on the test", "What became of its claims")
    return table([*header, *verdict_columns, *last], rows)


def _headline(verdict: Verdict | None) -> str:
    return (verdict.headline if verdict else None) or NONE


def _title(result: Result) -> str:
    return f"Report {result.sweep.report}, {result.sweep.name}"


def _section(result: Result) -> list[str]:
    """Return a sweep's values, its verdicts, its claims and what its curves say."""
    kinds = [kind for kind in WEIGHTS if kind in result.verdicts]
    compared = (f"compared by {WEIGHTS[kind]}" for kind in kinds)
    columns = ("validation accuracy", *compared, "its repeats", "test accuracy", "sensitivity")
    header = [result.sweep.name, *columns, "specificity", "AUROC", "validation minus test"]
    n_trained = sum(len(value.scores) for value in result.values)
    work = f"{count(n_trained, 'training')}, {count(result.n_repeats, 'repeat')} of each value"
    lines = [
        *(f"### {_title(result)}", ""),
        *(sentence(f"The report: {result.sweep.found}"), ""),
        *(f"{work}, trained in {duration(result.seconds)}.", ""),
        *table(header, [_cells(result, value) for value in result.values]),
        "",
    ]
    for kind in kinds:
        verdict = result.verdicts[kind]
        said = filter(None, (verdict.headline, *_said(verdict.pairs), verdict.basis))
        lines += [f"**On validation, by {WEIGHTS[kind]}**", "", *bullets(said), ""]
    if result.test_pairs:
        lines += ["**On the test**", "", *bullets(_said(result.test_pairs)), ""]
    if result.claims:
        claims = (
            f"{c.text}: **{c.outcome}**. {' '.join(map(sentence, c.grounds))}"
            for c in result.claims
        )
        lines += ["**Its claims**", "", *bullets(claims), ""]
    if curves := result.curves:
        rows = table(curves.header, curves.rows)
        lines += ["**The curves**", "", *rows, "", *bullets(curves.said), ""]
    if signs := [f"{value.label}: {sign}" for value in result.values for sign in value.signs]:
        lines += ["**To be careful with**", "", *bullets(signs), ""]
    return lines


def _said(pairs: Sequence[PairComparison]) -> list[str]:
    """Return the sentence of each pair, in bold where it states a difference."""
    texts = ((pair, stopped(pair.sentence)) for pair in pairs)
    return [f"**{text}**" if pair.is_real else text for pair, text in texts]


def _cells(result: Result, value: Value) -> list[str]:
    compared = [estimate(v.means.get(value.label)) for v in result.verdicts.values()]
    repeats = "; ".join(filter(None, (", ".join(map(percent, value.scores)), value.failures)))
    found = [value.label, estimate(value.score), *compared, repeats or NONE]
    test = test_cells(value.test) if value.test else ["sealed", *[NONE] * 3]
    return [*found, *test, estimate(value.gap.get("accuracy"))]


def _search(search: Search) -> list[str]:
    """Return the section on the default search, whose bases are those of the reports."""
    columns = ("test accuracy", "sensitivity", "specificity", "AUROC")
    return [
        "## The default search",
        "",
        f"`{search.command}`: {count(search.n_configurations, 'configuration')}, the best trained "
        "again, the bases of the five reports with the same seeds and folds.",
        "",
        *table(["", f"{search.title}, fresh repeats", *columns], search.rows),
        "",
        *bullets(map(sentence, search.said)),
        "",
    ]


def _facts(figures: Figures) -> list[str]:
    margins = [f"{m.amount(m.margin)} {m.unit} ({m.name})" for m in MEASURES]
    values = distinct_values(figures.results)
    n_trained = sum(len(value.scores) for _, value in values)
    versions = [f"{name} {listed(found)}" for name, found in figures.versions.items()]
    return [
        f"Data: {figures.data}, {figures.images}; fingerprint `{figures.fingerprint}`.",
        f"{count(n_trained, 'training')} of {count(len(values), 'configuration')}; a "
        "configuration that several sweeps share was trained once for all, and its time counts in "
        "each. Times are sums over trainings, some of which ran side by side.",
        f"Device and precision: {listed(figures.devices)}. Versions: "
        f"{', '.join(versions) or 'unknown'}; numerics {figures.numerics}.",
        *_HOW,
        "A claim of a report is *seen here* where the difference is real and in the claimed "
        "direction; *not seen here* where it is real the other way, or where the interval leaves "
        f"no room for a difference that matters: {', '.join(margins)}. All else is *{OPEN}*. "
        "Two values are alike where the whole interval lies within that margin.",
        "To oscillate strongly is to fluctuate by more than a point from epoch to epoch; to "
        "overfit is to have a training accuracy, measured like validation, more than a point "
        "above it.",
        f"Made by `make results DATA={figures.data}`, which continues where it stopped and reuses "
        "what the run store has. `make results` alone writes this file again from RESULTS.json, "
        "which has every figure.",
    ]
