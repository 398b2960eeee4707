"""The search beside the reports: its winner, the ensemble of it, and the five bases."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from hpo.cli.work import train
from hpo.evaluate import Evaluated, Evaluation, open_test, read_evaluation
from hpo.run.plan import Plan, SearchSettings, Settings, plan_search
from hpo.run.session import open_session
from hpo.stats import Interval
from hpo.storage.opening import open_storage
from hpo.study import study as studies
from hpo.study.gathering import summarize
from hpo.study.summary import StudySummary, sentences
from studies.results.words import NONE, bullets, estimate, sentence, stopped, table

SETTINGS = SearchSettings(trials=50, finalists=5, final_repeats=5, with_baselines=True)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A search that is over, and what the test says of its winner and of the bases."""

    summary: StudySummary
    evaluation: Evaluation


def plan(settings: Settings) -> Plan:
    """Plan the default search, with the reports' bases beside it."""
    return plan_search([], settings, SETTINGS)


def finish(plan: Plan) -> Searched:
    """Train what is missing, then open the test, or read what the last opening found.

    Raises:
        HpoError: something cannot be trained or evaluated.
    """
    print("the search beside the reports", file=sys.stderr, flush=True)
    with open_session(plan) as session:
        train(session, is_quiet=False)
    storage = open_storage(plan.storage, create=False)
    study = studies.open_study(storage, plan.name)
    summary = summarize(study, storage_url=storage.url)
    evaluation = read_evaluation(study)
    if evaluation is None or evaluation.trials != _judged(summary):
        evaluation = open_test(study, storage, command="python -m studies.results")
    return Searched(summary=summary, evaluation=evaluation)


def section(searched: Searched) -> list[str]:
    """Return the lines of the section."""
    summary, evaluation = searched.summary, searched.evaluation
    score = summary.record.score
    header = ["", f"{score.title}, fresh repeats", "test accuracy", "sensitivity", "specificity"]
    rows = [_row(evaluated, summary) for evaluated in evaluation.configurations]
    if ensemble := evaluation.configurations[0].ensemble:
        rows.insert(1, [f"its ensemble of {ensemble.n}", NONE, *_metrics(ensemble.metrics)])
    said = sentences(summary.finalists, summary.record) if summary.finalists else []
    return [
        f"`hpo search --trials {SETTINGS.trials} --with-baselines`: "
        f"{len(summary.configurations)} configurations, the best {SETTINGS.finalists} trained "
        f"again, the bases of the five reports with the same seeds and folds.",
        "",
        *table([*header, "AUROC"], rows),
        "",
        *bullets(sentence(line) for line in said),
        *bullets(stopped(pair.sentence) for pair in evaluation.pairs),
        "",
    ]


def _row(evaluated: Evaluated, summary: StudySummary) -> list[str]:
    configurations = {base.name: base.configuration for base in summary.reports}
    named = configurations.get(evaluated.name, summary.best)
    return [
        evaluated.name if evaluated.name in configurations else f"the winner, {evaluated.name}",
        estimate(named.judged_score if named else None),
        *_metrics(evaluated.metrics),
    ]


def _metrics(metrics: Mapping[str, Interval]) -> list[str]:
    shares = [estimate(metrics[name]) for name in ("accuracy", "sensitivity", "specificity")]
    return [*shares, estimate(metrics["auroc"], decimals=3, factor=1)]


def _judged(summary: StudySummary) -> set[int]:
    chosen = [summary.best, *(base.configuration for base in summary.reports)]
    return {repeat.trial for c in chosen if c for repeat in c.judged}
