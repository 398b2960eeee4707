"""RESULTS.md: nothing in it changes from call to call, so the same runs give the same bytes."""

from collections.abc import Mapping, Sequence
from typing import Final

from hpo.evaluate import Evaluated, Evaluation
from hpo.evaluate.learning_curves import LearningCurves
from hpo.stats import Interval
from hpo.stats.sentences import label
from hpo.study.summary import Configuration, StudySummary, sentences
from hpo.training.engine import NUMERICS_VERSION
from studies.results.claims import MEASURES, OPEN
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
)
from studies.results.takeaways import distinct_cells, takeaways
from studies.results.work import SEARCH, Result

_INTERVALS: Final = (
    "Validation is what decides: repeat i has the same seed and fold under every value, pairs of "
    "values are compared by their repeats (Student's t with Nadeau and Bengio's correction for "
    "folds that share training images), p-values are corrected for the number of pairs of a sweep "
    "(Holm). A difference is called real where its corrected p-value is below 0.05. Intervals are "
    "of 95 %.",
    "The test was opened after a sweep was complete, on record, at the fixed threshold 0.5; "
    "nothing was chosen by it. Its intervals count both other trainings and other patients.",
)
_OVERVIEW: Final = (
    "Report",
    "Sweep",
    "What the report found",
    "Here, on validation",
    "Here, on the test",
    "What became of its claims",
)


def document(
    results: Sequence[Result], searched: tuple[StudySummary, Evaluation] | None = None
) -> str:
    """Write the file; with what the default search found where there was one."""
    summary = results[0].summary
    repeats = count(summary.goal.n_repeats, "repeat")
    phantom = "These are synthetic images (the phantom): the results do not apply to X-rays."
    lines = [
        f"# {count(len(results), 'sweep')} of five reports, run again",
        "",
        *([phantom, ""] if summary.record.data.is_phantom else []),
        "## What to take from it",
        "",
        *takeaways(results),
        "## The sweeps",
        "",
        f"Accuracies in percent: means of {repeats} with their 95 % intervals.",
        "",
        *overview(results),
        "",
        "## Sweep by sweep",
        "",
        *(line for result in results for line in _section(result)),
        *(_search(*searched) if searched else []),
        "## How it was made",
        "",
        *bullets(_facts(results)),
    ]
    return "\n".join(lines) + "\n"


def overview(results: Sequence[Result]) -> list[str]:
    """Return the table of all sweeps."""
    rows = []
    for result in results:
        sweep, every = result.sweep, result.summary.configurations
        anchor = _title(result).lower().replace(",", "").replace(" ", "-")
        validation = [
            f"{label(c.value)}: {estimate(c.score)}" + (f" [{f}]" if (f := _failures(c)) else "")
            for c in every
        ]
        n_failed = result.summary.count("failed")
        test = "sealed" + (f": {count(n_failed, 'training')} failed" if n_failed else "")
        if result.evaluation:
            test = "; ".join(
                f"{label(e.value)}: {estimate(e.metrics['accuracy'])}"
                for e in result.evaluation.configurations
            )
        claims = "; ".join(f"{v.claim.text}: **{v.outcome}**" for v in result.verdicts) or NONE
        link = f"[{sweep.name}](#{anchor})"
        rows.append([sweep.report, link, sweep.found, "; ".join(validation), test, claims])
    return table(_OVERVIEW, rows)


def _title(result: Result) -> str:
    return f"Report {result.sweep.report}, {result.sweep.name}"


def _failures(configuration: Configuration) -> str:
    """Say how many repeats failed and why; nothing where none did."""
    failed = [r for r in configuration.repeats if r.state == "failed"]
    if not failed:
        return ""
    reasons = dict.fromkeys((r.reason or "the reason is not known").rstrip(".") for r in failed)
    return f"{len(failed)} of {len(configuration.repeats)} repeats failed: {'; '.join(reasons)}"


def _section(result: Result) -> list[str]:
    """Return a sweep's values, its claims, its differences and what its curves say."""
    every = [(c, result.tested(c)) for c in result.summary.configurations]
    columns = ("validation accuracy", "its repeats", "test accuracy", "sensitivity")
    header = [result.sweep.name, *columns, "specificity", "AUROC", "validation minus test"]
    lines = [f"### {_title(result)}", "", sentence(f"The report: {result.sweep.found}"), ""]
    lines += [*table(header, [_values(*pair) for pair in every]), ""]
    if result.verdicts:
        claims = (
            f"{v.claim.text}: **{v.outcome}**. {' '.join(map(sentence, v.grounds))}"
            for v in result.verdicts
        )
        lines += ["**Its claims**", "", *bullets(claims), ""]
    for where, pairs in (("validation", result.pairs), ("the test", result.test_pairs)):
        if pairs:
            said = (
                f"**{p.sentence.rstrip('.')}**." if p.is_real else stopped(p.sentence)
                for p in pairs
            )
            lines += [f"**Differences on {where}**", "", *bullets(said), ""]
    if result.curves:
        lines += [*_curves(result.curves), ""]
    if signs := [f"{label(c.value)}: {sign}" for c, one in every if one for sign in one.signs]:
        lines += ["**To be careful with**", "", *bullets(signs), ""]
    return lines


def _values(configuration: Configuration, tested: Evaluated | None) -> list[str]:
    scores = ", ".join(percent(score) for score in configuration.scores)
    repeats = "; ".join(filter(None, (scores, _failures(configuration)))) or NONE
    found = [label(configuration.value), estimate(configuration.score), repeats]
    if tested is None:
        return [*found, "sealed", *[NONE] * 4]
    return [*found, *_metrics(tested.metrics), estimate(tested.gap["accuracy"])]


def _metrics(metrics: Mapping[str, Interval]) -> list[str]:
    shares = [estimate(metrics[name]) for name in ("accuracy", "sensitivity", "specificity")]
    return [*shares, estimate(metrics["auroc"], decimals=3, factor=1)]


def _curves(curves: LearningCurves) -> list[str]:
    rows = []
    for one in curves.comparisons:
        cells = (
            f"{mean} ({'; '.join(bounds)})" if bounds else mean for mean, *bounds in one.cells
        )
        rows.append([one.heading, *cells])
    said = bullets([*curves.outcome, *curves.about])
    return ["**The curves**", "", *table(["curves", *curves.names], rows), "", *said]


def _search(summary: StudySummary, evaluation: Evaluation) -> list[str]:
    """Return the section on the default search, whose bases are those of the reports."""
    bases = {base.name: base.configuration for base in summary.reports}
    rows = []
    for one in evaluation.configurations:
        configuration = bases.get(one.name, summary.best)
        score = configuration.judged_score if configuration else None
        name = one.name if one.name in bases else f"the winner, {one.name}"
        rows.append([name, estimate(score), *_metrics(one.metrics)])
    if ensemble := evaluation.configurations[0].ensemble:
        name = f"its ensemble of {ensemble.n}"
        rows.insert(1, [name, NONE, *_metrics(ensemble.metrics)])
    columns = ("test accuracy", "sensitivity", "specificity", "AUROC")
    header = ["", f"{summary.record.score.title}, fresh repeats", *columns]
    said = sentences(summary.finalists, summary.record) if summary.finalists else []
    return [
        "## The default search",
        "",
        f"`hpo search --trials {SEARCH.trials} --with-baselines`: "
        f"{len(summary.configurations)} configurations, the best {SEARCH.finalists} trained "
        "again, the bases of the five reports with the same seeds and folds.",
        "",
        *table(header, rows),
        "",
        *bullets(sentence(line) for line in said),
        *bullets(stopped(pair.sentence) for pair in evaluation.pairs),
        "",
    ]


def _facts(results: Sequence[Result]) -> list[str]:
    data = results[0].summary.record.data
    margins = [f"{m.amount(m.margin)} {m.unit} ({m.name})" for m in MEASURES]
    devices = sorted({f"{r.summary.record.device} {r.summary.record.precision}" for r in results})
    cells = distinct_cells(results)
    n_runs = sum(len(configuration.scores) for _, configuration, _ in cells)
    test = next((r.evaluation for r in results if r.evaluation), None)
    images = f"{data.n_train + data.n_validation:,} images in five folds by patient and class"
    if test:
        images += (
            f"; {test.n_normal} normal and {test.n_pneumonia} pneumonia test images of "
            f"{test.n_patients} patients"
        )
    # Those of the runs themselves; several where they were made with several.
    versions: dict[str, set[str]] = {}
    for name, version in (v for r in results for one in r.versions for v in one.items()):
        versions.setdefault(name, set()).add(version)
    named = [f"{name} {listed(sorted(found))}" for name, found in sorted(versions.items())]
    return [
        f"Data: {data.name}, {images}; fingerprint `{data.fingerprint}`.",
        f"{count(n_runs, 'training')} of {count(len(cells), 'configuration')}; a configuration "
        "that several sweeps share was trained once for all.",
        f"Device and precision: {listed(devices)}. Versions: {', '.join(named) or 'unknown'}; "
        f"numerics {NUMERICS_VERSION}.",
        *_INTERVALS,
        "A claim of a report is *seen here* where the difference is real and in the claimed "
        "direction; *not seen here* where it is real the other way, or where the interval leaves "
        f"no room for a difference that matters: {', '.join(margins)}. All else is *{OPEN}*. "
        "Two values are alike where the whole interval lies within that margin.",
        "To oscillate strongly is to fluctuate by more than a point from epoch to epoch; to "
        "overfit is to have a training accuracy, measured like validation, more than a point "
        "above it.",
        f"Made by `make results DATA={data.name}`. It continues where it stopped, and reuses what "
        "the run store has.",
    ]
