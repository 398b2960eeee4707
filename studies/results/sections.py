"""One section per sweep: its values, the claims, the verdicts and what the curves say."""

from collections.abc import Iterator, Sequence

from hpo.evaluate import Evaluated
from hpo.evaluate.learning_curves import LearningCurves
from hpo.stats import PairComparison
from hpo.stats.sentences import label
from hpo.study.summary import Configuration
from studies.results.claims import Verdict
from studies.results.evidence import Result
from studies.results.rows import failures, title
from studies.results.words import NONE, bullets, estimate, percent, sentence, stopped, table


def section(result: Result) -> list[str]:
    """Return the lines of a sweep's section."""
    lines = [f"### {title(result)}", "", sentence(f"The report: {result.sweep.found}"), ""]
    lines += [*_values(result), ""]
    if result.verdicts:
        lines += ["**Its claims**", "", *bullets(map(_verdict, result.verdicts)), ""]
    for where, pairs in (("validation", result.pairs), ("the test", result.test_pairs)):
        if pairs:
            lines += [f"**Differences on {where}**", "", *bullets(map(_pair, pairs)), ""]
    if result.curves:
        lines += [*_curves(result.curves), ""]
    if signs := list(_signs(result)):
        lines += ["**To be careful with**", "", *bullets(signs), ""]
    return lines


def _values(result: Result) -> list[str]:
    header = [
        result.sweep.name,
        "validation accuracy",
        "its repeats",
        "test accuracy",
        "sensitivity",
        "specificity",
        "AUROC",
        "validation minus test",
    ]
    rows = [_value(c, result.tested(c)) for c in result.summary.configurations]
    return table(header, rows)


def _value(configuration: Configuration, tested: Evaluated | None) -> list[str]:
    scores = ", ".join(percent(score) for score in configuration.scores)
    found = [label(configuration.value), estimate(configuration.score)]
    found.append("; ".join(filter(None, (scores, failures(configuration)))) or NONE)
    if tested is None:
        return [*found, "sealed", *[NONE] * 4]
    metrics = tested.metrics
    return [
        *found,
        *(estimate(metrics[name]) for name in ("accuracy", "sensitivity", "specificity")),
        estimate(metrics["auroc"], decimals=3, factor=1),
        estimate(tested.gap["accuracy"]),
    ]


def _verdict(verdict: Verdict) -> str:
    grounds = " ".join(sentence(ground) for ground in verdict.grounds)
    return f"{verdict.claim.text}: **{verdict.outcome}**. {grounds}"


def _pair(pair: PairComparison) -> str:
    return f"**{pair.sentence}**." if pair.is_real else stopped(pair.sentence)


def _curves(curves: LearningCurves) -> list[str]:
    rows = [[one.measure.heading, *map(_cell, one.cells)] for one in curves.comparisons]
    said = [*curves.outcome, *curves.about]
    return [
        "**The curves**",
        "",
        *table(["curves", *curves.names], rows),
        "",
        *bullets(said),
    ]


def _cell(lines: Sequence[str]) -> str:
    """Put the lines of a cell on one: the mean, its interval, what is more to be said."""
    mean, *bounds = lines
    return f"{mean} ({'; '.join(bounds)})" if bounds else mean


def _signs(result: Result) -> Iterator[str]:
    for configuration in result.summary.configurations:
        if tested := result.tested(configuration):
            yield from (f"{label(configuration.value)}: {sign}" for sign in tested.signs)
