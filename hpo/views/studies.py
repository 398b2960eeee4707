"""Studies as tables: configurations, finalists, learning curves, comparisons."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final, Literal

from hpo import space as spaces
from hpo.evaluate.checks import check_study
from hpo.evaluate.learning_curves import LearningCurves
from hpo.evaluate.studies import Comparison
from hpo.space.records import short_text
from hpo.stats import Interval, outcome
from hpo.storage.runs import RunStore
from hpo.storage.url import named
from hpo.study.record import StudyRecord
from hpo.study.score import SCORES, Score
from hpo.study.summary import Configuration, StudySummary, sentences
from hpo.study.test_access import statements
from hpo.tables import DASH, Column, Row, Table, count, duration

_MOST_COLUMNS: Final = 3
_MOST_ROWS: Final = 15
_MOST_DAMAGED: Final = 5
_MOST_PAIRS: Final = 30
MOST_ON_PAGE: Final = 200


def study_tables(summary: StudySummary, runs: RunStore) -> Iterator[Table]:
    """Yield what the terminal shows of a study: its configurations, then its finalists."""
    record = summary.record
    found, n_more = configurations_table(summary, most=_MOST_ROWS)
    said = []
    if summary.best and any(column.kind == "long" for column in found.columns):
        said.append(f"Best: {summary.best.label}")
    # With finalists, the baselines are in their table.
    if summary.baselines and not (summary.finalists and summary.shown_baselines):
        accuracies = (f"{n} {SCORES['accuracy'].text(a)}" for n, a in summary.baselines.items())
        is_plain = record.score.is_accuracy
        of_what = "Baselines" if is_plain else "Accuracy of the baselines on unchanged images"
        said.append(f"{of_what}: {', '.join(accuracies)}.")
    if summary.verdict:
        listed = outcome(summary.verdict, most_real=_MOST_PAIRS)
        said += [summary.headline] if summary.headline else []
        said += [pair if isinstance(pair, str) else pair.sentence for pair in listed]
        said += [summary.verdict.basis] if summary.verdict.basis and summary.headline else []
    last = (
        *(f"Warning: {sign}" for sign in check_study(summary, runs)),
        *notes(summary, n_more),
    )
    title = (
        f"{summary.name}: {data_name(summary)}, {record.data.n_train} training and "
        f"{record.data.n_validation} validation images, {record.device} {record.precision}"
    )
    finalists = finalists_table(summary)
    if finalists is None:
        yield replace(found, title=title, notes=(*said, *last))
    else:
        yield replace(found, title=title, notes=tuple(said))
        yield replace(finalists, notes=(*finalists.notes, *_finalist_pairs(summary), *last))


def _finalist_pairs(summary: StudySummary) -> Iterator[str]:
    """Compare the winner with each other finalist and report, and name other real differences."""
    assert summary.finalists
    pairs, winner = summary.finalists.verdict.pairs, summary.finalists.winner.tag
    listed = [pair for pair in pairs if winner in (pair.a, pair.b) or pair.is_real]
    yield from (pair.sentence for pair in listed)
    if basis := summary.finalists.verdict.basis:
        yield basis
    if n_others := len(pairs) - len(listed):
        others = "The other pair" if n_others == 1 else f"The other {n_others} pairs"
        yield f"{others} of finalists: undecided, or no difference that matters."
    compared = (base.comparison for base in summary.reports if base.comparison)
    yield from (pair.sentence for pair in compared if pair.n_pairs)


def notes(summary: StudySummary, n_more: int = 0) -> list[str]:
    """Return what a reader must know beside the table; `n_more` configurations are not in it."""
    data, study = summary.record.data, named(summary.name, summary.storage)
    said = [*summary.damaged[:_MOST_DAMAGED], *combinations_note(summary.record)]
    if (n_damaged := len(summary.damaged) - _MOST_DAMAGED) > 0:
        trials = count(n_damaged, "more damaged trial")
        said.append(f"{trials}: `hpo show {study} --json` names all of them.")
    if n_more:
        n_rows = _MOST_ROWS + n_more
        where = "`hpo report` shows all of them"
        if n_rows > MOST_ON_PAGE:
            where = f"`hpo report` has the best {MOST_ON_PAGE}, `hpo show {study} --json` all"
        said.append(f"The best {_MOST_ROWS} of {n_rows:,} are shown; {where}.")
    if data.is_phantom:
        said.append(
            "These are synthetic images (the phantom), made to try the tool: --data PATH uses "
            "real X-rays."
        )
    said += data.notes
    if (n := summary.goal.n_finalists) and not summary.finalists:
        said.append(f"This ranking is provisional: the best {n} still have to be retrained.")
    n_pruned, n_failed = summary.count("pruned"), summary.count("failed")
    if n_pruned:
        said.append(
            "1 training was stopped early because it was worse than the median."
            if n_pruned == 1
            else f"{n_pruned:,} trainings were stopped early because they were worse than the "
            "median."
        )
    missing = [(summary.n_open, "missing"), (n_failed, "failed")]
    left = [f"{count(n, 'training')} {how}" for n, how in missing if n]
    if summary.n_open or (n_failed and summary.record.kind == "grid"):
        said.append(f"{', '.join(left)}. To continue: `hpo resume {study}`")
    elif n_failed:
        said.append(f"{left[0]}.")
    goal, pairs = summary.goal, summary.verdict.pairs if summary.verdict else ()
    is_open = any(pair.answer == "undecided" for pair in pairs)
    if is_open and not summary.n_open and goal.n_repeats < goal.most_repeats:
        said.append(
            f"Undecided after {goal.n_repeats} of at most {goal.most_repeats} repeats. To "
            f"continue: `hpo resume {study}`"
        )
    said += summary.about_others()
    return said + statements(summary.openings, n_complete=summary.count("complete"))


def combinations_note(record: StudyRecord) -> Iterator[str]:
    """Say how many of the combinations of a grid are different, where some are equal."""
    if record.kind == "search":
        return
    cells = spaces.cells(record.space, record.names)
    inert = [name for name in record.names if any(name not in cell.params for cell in cells)]
    if (n := spaces.n_combinations(record.space, record.names)) > len(cells):
        where = f"where {' or '.join(inert)} has no effect, they" if inert else "some"
        yield f"{n:,} combinations, {len(cells):,} different: {where} are one training."


def data_name(summary: StudySummary) -> str:
    """Return the name of the data; synthetic ones are always called so."""
    data = summary.record.data
    return f"{data.name} (synthetic)" if data.is_phantom else data.name


def studies_table(summaries: Sequence[StudySummary]) -> Table:
    """Return a row per study."""
    rows, said = [], []
    for summary in summaries:
        score, best = summary.record.score, summary.best
        mean = summary.best_score.mean if summary.best_score else None
        n_done, n_left = summary.n_done, summary.n_left
        rows.append(
            Row(
                (
                    summary.name,
                    data_name(summary),
                    f"{n_done} of {n_done + n_left}" if n_left else str(n_done),
                    DASH if mean is None else score.text(mean),
                    best.label if best else DASH,
                )
            )
        )
        if not score.is_accuracy:
            said.append(f"The best of {summary.name} is its {score.title}.")
        if n := len(summary.openings):
            times = "once" if n == 1 else f"{n} times"
            said.append(f"The test of {summary.name} was opened {times}.")
    columns = (
        Column("study", "text"),
        Column("data", "text"),
        Column("trials"),
        Column("best"),
        Column("best configuration", "long"),
    )
    return Table(columns, tuple(rows), notes=tuple(said))


def configurations_table(
    summary: StudySummary, *, most: int, is_full: bool = False
) -> tuple[Table, int]:
    """Return the configurations of a study, and how many more than `most` there are.

    A search and a large grid are sorted by score; a grid keeps its order. A full table shows only
    configurations with a score, every parameter in a column, the spread, and the baselines.
    """
    score, is_search = summary.record.score, summary.record.kind == "search"
    configurations = list(summary.configurations)
    if is_search or is_full:
        configurations = [c for c in configurations if c.score]
    if is_search or len(configurations) > most:
        configurations.sort(key=summary.rank, reverse=True)
    shown = configurations[:most]
    columns = _configuration_columns(summary, shown, is_full=is_full)
    rows = [
        Row(tuple(cell(c) for cell in columns.values()), "best" if c is summary.best else "plain")
        for c in shown
    ]
    if is_full and not summary.finalists:
        for name, accuracy in summary.shown_baselines.items():
            cells = {"#": f"baseline: {name}", score.column: score.number(accuracy)}
            rows.append(Row(tuple(cells.get(c.name, "") for c in columns), "reference"))
    return Table(tuple(columns), tuple(rows)), len(configurations) - len(shown)


def _configuration_columns(
    summary: StudySummary, shown: Sequence[Configuration], *, is_full: bool
) -> Mapping[Column, Callable[[Configuration], str]]:
    """Return the columns, and how each writes its cell of a configuration."""
    score = summary.record.score
    names = [n for n in summary.record.names if is_full or any(n in c.params for c in shown)]
    is_wide = len(names) > _MOST_COLUMNS
    columns: dict[Column, Callable[[Configuration], str]] = {}
    in_order = [c.number for c in shown] == list(range(1, len(shown) + 1))
    if is_full or summary.record.kind == "search" or not in_order:
        columns[Column("#")] = lambda c: str(c.number)
    parameters = {Column(name, "text"): _parameter(name) for name in names}
    if not is_wide:
        columns |= parameters
    columns[Column(score.column)] = lambda c: (
        score_cells(c.score, score)[0] if c.score else c.state
    )
    if summary.goal.n_repeats > 1 or is_full:
        columns[Column("95 % interval")] = lambda c: score_cells(c.score, score)[1]
        columns[Column("repeats")] = _repeats
    columns |= _other_weights(shown, score)
    if is_full:
        columns[Column("deviation")] = lambda c: _deviation(c, score)
    if "epochs" not in names and (is_full or len({c.config.epochs for c in shown}) > 1):
        columns[Column("epochs")] = lambda c: str(c.config.epochs)
    columns[Column("time each")] = _time_each
    if is_wide and is_full:
        columns |= parameters
    elif is_wide or not names:
        columns[Column("configuration", "long")] = lambda c: c.label
    return columns


def _other_weights(
    shown: Sequence[Configuration], score: Score
) -> dict[Column, Callable[[Configuration], str]]:
    """Return a column of the weights that are not scored, where trainings tell of them."""
    titles = {"last": "average", "average": "last"}
    found = {titles[c.config.weights] for c in shown if _other_scores(c, score)}
    if score.is_stressed or not found:
        return {}
    title = found.pop() if len(found) == 1 else "other weights"
    column = Column(f"{title}, %" if score.kind.is_share else title)

    def cell(configuration: Configuration) -> str:
        scores = _other_scores(configuration, score)
        return score.number(fmean(scores)) if scores else DASH

    return {column: cell}


def _other_scores(configuration: Configuration, score: Score) -> list[float]:
    name = "last_weights" if configuration.config.weights == "average" else "average_weights"
    done = [r.metrics.get(name) for r in configuration.repeats if r.state == "complete"]
    return [metrics[score.metric] for metrics in done if metrics and score.metric in metrics]


def _parameter(name: str) -> Callable[[Configuration], str]:
    return lambda c: short_text(c.params[name]) if name in c.params else DASH


def _deviation(configuration: Configuration, score: Score) -> str:
    deviation = configuration.score.deviation if configuration.score else None
    return DASH if deviation is None else score.number(deviation)


def _repeats(configuration: Configuration) -> str:
    n_done = len(configuration.scores)
    n = sum(r.repeat < configuration.n_searched for r in configuration.repeats)
    return f"{n_done}" if n_done == n else f"{n_done} of {n}"


def _time_each(configuration: Configuration) -> str:
    seconds = [r.seconds for r in configuration.repeats if r.seconds is not None]
    return duration(fmean(seconds)) if seconds else DASH


def finalists_table(summary: StudySummary) -> Table | None:
    """Return the finalists, best first, then the bases of the reports and the baselines."""
    finalists, score = summary.finalists, summary.record.score
    if finalists is None:
        return None
    rows = []
    for member in finalists.members:
        assert member.searched is not None
        assert member.fresh
        cells = (score.number(member.searched), *score_cells(member.fresh, score))
        kind: Literal["best", "plain"] = "best" if member is finalists.winner else "plain"
        rows.append(Row((member.tag, *cells, str(member.fresh.n), member.label), kind))
    for base in summary.reports:
        configuration = base.configuration
        cells = (DASH, *score_cells(configuration.judged_score, score))
        n = str(len(configuration.judged))
        rows.append(Row((base.name, *cells, n, "base configuration of that report"), "reference"))
    for name, accuracy in summary.shown_baselines.items():
        number = score.number(accuracy)
        about = "baseline on the folds of the winner"
        rows.append(Row((name, DASH, number, DASH, DASH, about), "reference"))
    return Table(
        columns=(
            Column("finalist", "text"),
            Column("score in search"),
            Column("score when retrained"),
            Column("95 % interval"),
            Column("repeats"),
            Column("configuration", "long"),
        ),
        rows=tuple(rows),
        notes=tuple(sentences(summary)),
        title=f"Finalists, retrained: {score.column}",
    )


def comparison_table(comparison: Comparison) -> Table:
    """Return a row per configuration of the compared studies."""
    rows, labels = [], []
    for entry in comparison.entries:
        configuration = entry.configuration
        counts = (len(configuration.judged), configuration.config.epochs)
        cells = (entry.name, *score_cells(entry.found, comparison.score), *map(str, counts))
        rows.append(Row(cells, "best" if entry is comparison.best else "plain"))
        if entry.summary.record.kind == "search":
            labels.append(f"{entry.name}: {configuration.label}")
    numbers = (comparison.score.column, "95 % interval", "repeats", "epochs")
    return Table(
        columns=(Column("configuration", "text"), *map(Column, numbers)),
        rows=tuple(rows),
        notes=(*labels, *comparison.notes),
    )


def curves_table(found: LearningCurves, *, with_meanings: bool = False) -> Table:
    """Return a row per measure of the learning curves, and a column per configuration."""
    rows = []
    for one in found.comparisons:
        name = f"{one.heading}\n{one.about}" if with_meanings else one.heading
        rows.append(Row((name, *("\n".join(lines) for lines in one.cells))))
    labels = (
        f"{value}: {configuration.label}"
        for value, configuration in found.configurations.items()
        if value != configuration.value
    )
    measure = Column("measure", "long" if with_meanings else "text")
    return Table(
        columns=(measure, *map(Column, found.names)),
        rows=tuple(rows),
        notes=(*labels, *found.about),
        title="Learning curves",
    )


def score_cells(found: Interval | None, score: Score) -> tuple[str, str]:
    """Write a mean and its interval without the unit, a dash where there is none."""
    if found is None or found.mean is None:
        return DASH, DASH
    if found.low is None or found.high is None:
        return score.number(found.mean), DASH
    return score.number(found.mean), f"{score.number(found.low)} to {score.number(found.high)}"
