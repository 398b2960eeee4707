"""Studies as tables: configurations, finalists, learning curves, comparisons."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final

from hpo import space as spaces
from hpo.evaluate.checks import check_study
from hpo.evaluate.learning_curves import LearningCurves
from hpo.evaluate.studies import Comparison
from hpo.space.records import short_text
from hpo.stats import Interval, outcome
from hpo.storage.runs import RunStore
from hpo.storage.url import named
from hpo.study.record import StudyRecord
from hpo.study.score import Score
from hpo.study.summary import Configuration, StudySummary, sentences
from hpo.study.test_access import statements
from hpo.tables import DASH, Column, Row, Table, count, duration

_MOST_COLUMNS: Final = 3
_MOST_ROWS: Final = 15
_MOST_DAMAGED: Final = 5
_MOST_PAIRS: Final = 30
MOST_ON_PAGE: Final = 200


def study_tables(summary: StudySummary, runs: RunStore) -> Iterator[Table]:
    """Yield the tables of a study for the terminal: configurations, then finalists."""
    record, verdict = summary.record, summary.verdict
    configurations, n_more = configurations_table(summary, most=_MOST_ROWS)
    lines = []
    # If there are finalists, the baselines are in their table.
    if summary.baselines and not (summary.finalists and summary.shown_baselines):
        lines.append(baselines_text(summary))
    if verdict:
        listed = outcome(verdict, most_real=_MOST_PAIRS)
        lines += [pair if isinstance(pair, str) else pair.sentence for pair in listed]
        # The basis of a verdict is shown only with a verdict.
        lines += [verdict.basis] if summary.sweep_headline and verdict.basis else []
    last = (*(f"Warning: {sign}" for sign in check_study(summary, runs)), *notes(summary, n_more))
    title = (
        f"{summary.name}: {record.data.title}, {record.data.n_train} training and "
        f"{record.data.n_validation} validation images, {record.device} {record.precision}"
    )
    finalists = finalists_table(summary)
    if finalists is None:
        yield replace(configurations, title=title, notes=(*lines, *last))
    else:
        yield replace(configurations, title=title, notes=tuple(lines))
        yield replace(finalists, notes=(*finalists.notes, *_finalist_pairs(summary), *last))


def baselines_text(summary: StudySummary) -> str:
    """Return a sentence with the score of each baseline on the unchanged images."""
    score = summary.baseline_score
    texts = (f"{n} {score.text(value)}" for n, value in summary.baseline_values.items())
    of_what = "" if summary.shown_baselines else f" ({score.title} on unchanged images)"
    return f"Baselines{of_what}: {', '.join(texts)}."


def _finalist_pairs(summary: StudySummary) -> Iterator[str]:
    """Compare the winner with each other finalist and course network, then the others."""
    assert summary.finalists
    verdict, winner = summary.finalists.verdict, summary.finalists.winner.tag
    listed = [pair for pair in verdict.pairs if winner in (pair.a, pair.b) or pair.is_real]
    yield from (pair.sentence for pair in listed)
    if verdict.basis:
        yield verdict.basis
    if n_others := len(verdict.pairs) - len(listed):
        others = "The other pair" if n_others == 1 else f"The other {n_others} pairs"
        yield f"{others} of finalists: undecided, or no difference that matters."
    yield from (pair.sentence for pair in summary.report_pairs if pair.n_pairs)


def notes(summary: StudySummary, n_more: int = 0) -> list[str]:
    """Return the notes below the table; `n_more` configurations are not in it."""
    data, goal, study = summary.record.data, summary.goal, named(summary.name, summary.storage)
    lines = [*summary.damaged[:_MOST_DAMAGED], *combinations_note(summary.record)]
    if (n_damaged := len(summary.damaged) - _MOST_DAMAGED) > 0:
        trials = count(n_damaged, "more damaged trial")
        lines.append(f"{trials}: `hpo show {study} --json` lists all.")
    if n_more:
        n_rows = _MOST_ROWS + n_more
        command = "`hpo report` shows all"
        if n_rows > MOST_ON_PAGE:
            command = f"`hpo report` has the best {MOST_ON_PAGE}, `hpo show {study} --json` all"
        lines.append(f"The best {_MOST_ROWS} of {n_rows:,} are shown; {command}.")
    if data.is_phantom:
        lines.append(
            "These are synthetic images (the phantom) for trying out hpo. Use --data PATH for "
            "real X-rays."
        )
    lines += summary.record.notes
    if len(summary.processors) > 1:
        kinds = ", ".join(summary.processors)
        lines.append(f"Trained on processors that round differently: {kinds}.")
    if goal.n_finalists and not summary.finalists:
        lines.append(
            f"This ranking is provisional: the best {goal.n_finalists} still have to be retrained."
        )
    n_tried = len(summary.configurations)
    if goal.patience and n_tried < goal.n_trials and not summary.n_left:
        lines.append(
            f"The search ended after {n_tried} of {goal.n_trials} configurations: "
            f"{goal.patience} in a row were no improvement (--patience)."
        )
    if n_pruned := summary.count("pruned"):
        lines.append(f"{count(n_pruned, 'training')} stopped early (worse than the median).")
    n_open, n_failed = summary.n_open, summary.count("failed")
    missing = {"missing": n_open, "failed": n_failed}
    left = ", ".join(f"{count(n, 'training')} {how}" for how, n in missing.items() if n)
    pairs = summary.verdict.pairs if summary.verdict else ()
    is_driven = f"In training by {summary.driver}." if summary.driver else ""
    to_continue = is_driven or f"To continue: `{summary.to_resume}`"
    if n_open or (n_failed and summary.record.kind == "grid"):
        lines.append(f"{left}. {to_continue}")
    elif n_failed:
        lines.append(f"{left}.")
    is_undecided = any(pair.answer == "undecided" for pair in pairs)
    if is_undecided and not n_open and goal.n_repeats < goal.most_repeats:
        limits = f"{goal.n_repeats} of at most {goal.most_repeats}"
        lines.append(f"Undecided after {limits} repeats. {to_continue}")
    lines += summary.about_others()
    return lines + statements(summary.openings, n_complete=summary.count("complete"))


def combinations_note(record: StudyRecord) -> Iterator[str]:
    """Yield a sentence on how many combinations of a grid are distinct, if some are equal."""
    if record.kind == "search":
        return
    cells = spaces.cells(record.space, record.names)
    inert = [name for name in record.names if any(name not in cell.params for cell in cells)]
    if (n := spaces.n_combinations(record.space, record.names)) > len(cells):
        where = f"where {' or '.join(inert)} has no effect, they" if inert else "some"
        yield f"{n:,} combinations, {len(cells):,} distinct: {where} share one training."


def configurations_table(
    summary: StudySummary, *, most: int, is_full: bool = False
) -> tuple[Table, int]:
    """Return the configurations of a study, and how many more than `most` there are.

    Searches and large grids are sorted by score; other grids keep their order. A full table shows
    only configurations with a score, all parameters, the spread, and the baselines.
    """
    score, is_search = summary.record.score, summary.record.kind == "search"
    configurations = [c for c in summary.configurations if c.score or not (is_search or is_full)]
    if is_search or len(configurations) > most:
        configurations.sort(key=summary.rank, reverse=True)
    shown = configurations[:most]
    columns = _configuration_columns(summary, shown, is_full=is_full)
    rows = []
    for c in shown:
        cells = _cells(c, summary)
        texts = tuple(cells.get(column.name, DASH) for column in columns)
        rows.append(Row(texts, "best" if c is summary.best else "plain"))
    if is_full and not summary.finalists:
        for name, value in summary.shown_baselines.items():
            cells = {"#": f"baseline: {name}", score.column: score.number(value)}
            rows.append(Row(tuple(cells.get(c.name, "") for c in columns), "reference"))
    return Table(columns, tuple(rows)), len(configurations) - len(shown)


def _configuration_columns(
    summary: StudySummary, shown: Sequence[Configuration], *, is_full: bool
) -> tuple[Column, ...]:
    """Return the columns that carry information about the shown configurations."""
    score, is_search = summary.record.score, summary.record.kind == "search"
    names = [n for n in summary.record.names if is_full or any(n in c.params for c in shown)]
    if is_search and not is_full:
        names = _differing(names, shown)
    parameters = [Column(name, "text") for name in names]
    is_wide = len(names) > _MOST_COLUMNS
    has_repeats = is_full or summary.goal.n_repeats > 1
    has_epochs = is_full or len({c.config.epochs for c in shown}) > 1
    in_order = [c.number for c in shown] == list(range(1, len(shown) + 1))
    others = dict.fromkeys(_other_weights(c, score)[0] for c in shown)
    offered = [
        (Column("#"), is_full or is_search or not in_order),
        *((parameter, not is_wide) for parameter in parameters),
        (Column(score.column), True),
        (Column("95 % interval"), has_repeats),
        (Column("repeats"), has_repeats),
        *((Column(title), True) for title in others if title),
        (Column("deviation"), is_full),
        (Column("epochs"), has_epochs and "epochs" not in names),
        (Column("time each"), True),
        *((parameter, is_wide) for parameter in parameters),
        (Column("configuration", "long"), not names),
    ]
    return tuple(column for column, is_shown in offered if is_shown)


def _differing(names: Iterable[str], shown: Sequence[Configuration]) -> list[str]:
    """Return the parameters that differ between the configurations."""
    return [name for name in names if len({c.params.get(name) for c in shown}) > 1]


def _cells(configuration: Configuration, summary: StudySummary) -> dict[str, str]:
    """Return the cells of a configuration by the name of the column."""
    score = summary.record.score
    state: str = configuration.state
    if state == "running" and not summary.driver:
        state = "interrupted"
    mean_score, repeats = configuration.score, configuration.repeats
    mean, interval = score_cells(mean_score, score)
    other, other_mean = _other_weights(configuration, score)
    n_done = len(configuration.scores)
    n = sum(r.repeat < configuration.n_searched for r in repeats)
    seconds = [r.seconds for r in repeats if r.seconds is not None]
    deviation = mean_score.deviation if mean_score else None
    return {
        "#": str(configuration.number),
        score.column: mean if mean_score else state,
        "95 % interval": interval,
        "repeats": str(n_done) if n_done == n else f"{n_done} of {n}",
        other: other_mean,
        "deviation": DASH if deviation is None else score.number(deviation),
        "epochs": str(configuration.config.epochs),
        "time each": duration(fmean(seconds)) if seconds else DASH,
        "configuration": configuration.label,
    } | {name: short_text(value) for name, value in configuration.params.items()}


def _other_weights(configuration: Configuration, score: Score) -> tuple[str, str]:
    """Return the column name and mean score of the weights that are not scored; "" for none."""
    is_average = configuration.config.weights == "average"
    name = "last_weights" if is_average else "average_weights"
    done = [r.metrics.get(name) for r in configuration.repeats if r.state == "complete"]
    scores = [metrics[score.metric] for metrics in done if metrics and score.metric in metrics]
    if score.is_stressed or not scores:
        return "", ""
    title = "last" if is_average else "average"
    return (f"{title}, %" if score.kind.is_share else title), score.number(fmean(scores))


def finalists_table(summary: StudySummary) -> Table | None:
    """Return the finalists, best first, then the course networks and the baselines."""
    finalists, score = summary.finalists, summary.record.score
    if finalists is None:
        return None
    rows = []
    names = _differing(summary.record.names, finalists.members)
    for member in finalists.members:
        assert member.searched is not None
        assert member.fresh
        mean, interval = score_cells(member.fresh, score)
        cells = (member.tag, score.number(member.searched), mean, interval, str(member.fresh.n))
        own = {name: short_text(value) for name, value in member.params.items()}
        values = (own.get(name, DASH) for name in names)
        rows.append(Row((*cells, *values), "best" if member is finalists.winner else "plain"))
    none = ("",) * len(names)
    for name, base in summary.reports.items():
        mean, interval = score_cells(base.judged_score, score)
        cells = (name, DASH, mean, interval, str(len(base.judged)))
        rows.append(Row((*cells, *none), "reference"))
    for name, found in summary.shown_baselines.items():
        cells = (name, DASH, score.number(found), DASH, DASH)
        rows.append(Row((*cells, *none), "reference"))
    numbers = ("score in search", "score when retrained", "95 % interval", "repeats")
    return Table(
        (Column("finalist", "text"), *map(Column, numbers), *(Column(n, "text") for n in names)),
        tuple(rows),
        notes=tuple(sentences(summary)),
        title=f"Finalists, retrained: {score.column}",
    )


def comparison_table(comparison: Comparison) -> Table:
    """Return a row per configuration of the compared studies."""
    rows, labels = [], []
    for entry in comparison.entries:
        configuration = entry.configuration
        counts = (len(configuration.judged), configuration.config.epochs)
        mean, interval = score_cells(configuration.judged_score, comparison.score)
        cells = (entry.name, mean, interval, *map(str, counts))
        rows.append(Row(cells, "best" if entry is comparison.best else "plain"))
        if entry.summary.record.kind == "search":
            labels.append(f"{entry.name}: {configuration.label}")
    numbers = (comparison.score.column, "95 % interval", "repeats", "epochs")
    return Table(
        (Column("configuration", "text"), *map(Column, numbers)),
        tuple(rows),
        notes=(*labels, *comparison.notes),
    )


def curves_table(curves: LearningCurves, *, with_meanings: bool = False) -> Table:
    """Return a table with a row per learning-curve measure and a column per configuration."""
    rows = []
    for measure in curves.comparisons:
        name = f"{measure.heading}\n{measure.about}" if with_meanings else measure.heading
        rows.append(Row((name, *("\n".join(lines) for lines in measure.cells))))
    labels = (f"{v}: {c.label}" for v, c in curves.configurations.items() if v != c.value)
    return Table(
        (Column("measure", "long" if with_meanings else "text"), *map(Column, curves.names)),
        tuple(rows),
        notes=(*labels, *curves.about),
        title="Learning curves",
    )


def score_cells(interval: Interval | None, score: Score) -> tuple[str, str]:
    """Return a mean and its interval as cells without the unit; a dash for what is missing."""
    if interval is None or interval.mean is None:
        return DASH, DASH
    span = score.range_text(interval).removesuffix("\u00a0%")
    # With two repeats or a few images, the interval can cover all values.
    everything = "0 to 100" if interval.low is not None else DASH
    return score.number(interval.mean), span or everything
