"""Studies as tables in the terminal."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Final

from rich.markup import escape
from rich.table import Table

from hpo import space as spaces
from hpo.cli.output import count, duration, print_line, print_table
from hpo.evaluate.checks import check_study, scope
from hpo.evaluate.learning_curves import LearningCurves
from hpo.space.records import short_text
from hpo.stats import Interval, SweepComparison, outcome
from hpo.storage.runs import RunStore
from hpo.storage.url import named
from hpo.study.record import StudyRecord
from hpo.study.score import SCORES, Score
from hpo.study.summary import Configuration, Finalists, StudySummary, sentences
from hpo.study.test_access import statements

MOST_ON_PAGE: Final = 200
"""As many as `hpo.report` shows, which takes a second to import."""

_MOST_ROWS: Final = 15
_MOST_DAMAGED: Final = 5
_MOST_REAL: Final = 30
_MOST_COLUMNS: Final = 3
_LINE_WIDTH: Final = 24


def print_study(summary: StudySummary, runs: RunStore) -> None:
    """Print a study: a row per configuration, the baselines, and what to know beside them."""
    _print_lines([_title(summary)], style="bold")
    rows = list(summary.configurations)
    if summary.record.kind == "search":
        rows = [c for c in rows if c.score]
    if summary.record.kind == "search" or len(rows) > _MOST_ROWS:
        rows.sort(key=summary.rank, reverse=True)
    names = [name for name in summary.record.names if any(name in row.params for row in rows)]
    print_table(_table(summary, rows[:_MOST_ROWS], names))
    if summary.best and len(names) > _MOST_COLUMNS:
        _print_lines([f"Best: {summary.best.label}"])
    _print_lines(_baselines(summary))
    _print_lines(_verdict(summary.verdict))
    if summary.finalists:
        _print_finalists(summary.finalists, summary)
    _print_lines(f"Warning: {sign}" for sign in check_study(summary, runs))
    _print_lines(filter(None, [scope(summary)]))
    _print_lines(notes(summary, len(rows)))


def print_studies(summaries: Sequence[StudySummary]) -> None:
    """Print a row per study."""
    if not summaries:
        _print_lines(["No studies yet: `hpo grid --param batch_size` makes the first one."])
        return
    table = Table()
    table.add_column("study", no_wrap=True)
    table.add_column("data")
    for name in ("trials", "best"):
        table.add_column(name, justify="right")
    # A long configuration takes what is left, where it would squeeze the rest away.
    table.add_column("best configuration", ratio=1)
    for summary in summaries:
        best, score = summary.best, summary.record.score
        found = summary.best_score
        mean = found.mean if found else None
        table.add_row(
            escape(summary.name),
            escape(data_name(summary)),
            _progress(summary),
            "–" if mean is None else score.text(mean),
            escape(best.label) if best else "–",
        )
    print_table(table)
    for summary in summaries:
        if not summary.record.score.is_accuracy:
            _print_lines([f"The best of {summary.name} is its {summary.record.score.title}."])
        if n := len(summary.openings):
            times = "once" if n == 1 else f"{n} times"
            _print_lines([f"The test of {summary.name} was opened {times}."])


def notes(summary: StudySummary, n_rows: int) -> list[str]:
    """Return what a reader must know beside the table."""
    data = summary.record.data
    found = [*summary.damaged[:_MOST_DAMAGED], *combinations_note(summary.record)]
    if (n_more := len(summary.damaged) - _MOST_DAMAGED) > 0:
        found.append(f"{count(n_more, 'more trial')} damaged: `hpo show --json` names them.")
    if n_rows > _MOST_ROWS:
        has_all = "`hpo report` has them all"
        if n_rows > MOST_ON_PAGE:
            study = named(summary.name, summary.storage)
            has_all = f"`hpo report` has the best {MOST_ON_PAGE}, `hpo show {study} --json` all"
        found.append(f"The best {_MOST_ROWS} of {n_rows:,} are shown; {has_all}.")
    if data.is_phantom:
        found.append(
            "These are synthetic images (the phantom), made to try the tool: --data PATH uses "
            "real X-rays."
        )
    found += data.notes
    if (n := summary.goal.n_finalists) and not summary.finalists:
        found.append(
            f"The best mean is partly luck: it is judged once {n} finalists are trained again."
        )
    if n_pruned := summary.count("pruned"):
        found.append(f"{count(n_pruned, 'trial')} pruned: behind the median early on.")
    n_open = summary.n_open
    n_failed = summary.count("failed")
    if n_open or (n_failed and summary.record.kind == "grid"):
        states = {"to be done": n_open, "failed": n_failed}
        left = ", ".join(f"{count(n, 'training')} {state}" for state, n in states.items() if n)
        command = f"hpo resume {named(summary.name, summary.storage)}"
        found.append(f"{left}: `{command}` goes on.")
    elif n_failed:
        found.append(f"{count(n_failed, 'training')} failed.")
    found += summary.about_others()
    return found + statements(summary.openings, n_complete=summary.count("complete"))


def combinations_note(record: StudyRecord) -> Iterable[str]:
    """Say of how many combinations the configurations of a grid are, where some are one."""
    if record.kind == "search":
        return
    cells = spaces.cells(record.space, record.names)
    inert = [name for name in record.names if any(name not in cell.params for cell in cells)]
    if (n := spaces.n_combinations(record.space, record.names)) > len(cells):
        where = f"where {' or '.join(inert)} has no effect, they" if inert else "some"
        yield f"{n:,} combinations, {len(cells):,} different: {where} are one training."


def data_name(summary: StudySummary) -> str:
    """Return the name of the data; synthetic ones are always said to be."""
    data = summary.record.data
    return f"{data.name} (synthetic)" if data.is_phantom else data.name


def _title(summary: StudySummary) -> str:
    data = summary.record.data
    return (
        f"{summary.name}: {data_name(summary)}, {data.n_train} training and {data.n_validation} "
        f"validation images, {summary.record.device} {summary.record.precision}"
    )


def _table(summary: StudySummary, rows: Sequence[Configuration], names: Sequence[str]) -> Table:
    """Make a column per parameter, or one line for all where there are many."""
    is_narrow = 0 < len(names) <= _MOST_COLUMNS
    named, line = (list(names), []) if is_narrow else ([], ["configuration"])
    score = summary.record.score
    results = [score.column, *({"epochs"} - set(named)), "time each"]
    if summary.goal.n_repeats > 1:
        results[1:1] = ["95 % interval", "repeats"]
    # Of a small grid the rows stand in the order of their numbers.
    in_order = [row.number for row in rows] == list(range(1, len(rows) + 1))
    numbers = ["#"] if summary.record.kind == "search" or not in_order else []
    table = Table()
    for name in numbers:
        table.add_column(name, justify="right")
    for name in named:
        table.add_column(escape(name))
    for name in results:
        table.add_column(name, justify="right")
    for name in line:
        table.add_column(name, ratio=1, min_width=_LINE_WIDTH)
    columns = [*numbers, *named, *results, *line]
    for row in rows:
        cells = _cells(row, score) | {"#": str(row.number)}
        style = "bold green" if row is summary.best else ""
        table.add_row(*(cells.get(name, "") for name in columns), style=style)
    return table


def score_cells(found: Interval | None, score: Score) -> tuple[str, str]:
    """Write a mean and its interval without the unit, a dash where there is none."""
    if found is None or found.mean is None:
        return "–", "–"
    if found.low is None or found.high is None:
        return score.number(found.mean), "–"
    return score.number(found.mean), f"{score.number(found.low)} to {score.number(found.high)}"


def _cells(configuration: Configuration, score: Score) -> dict[str, str]:
    mean, interval = score_cells(configuration.score, score)
    seconds = [r.seconds for r in configuration.repeats if r.seconds is not None]
    n = sum(r.repeat < configuration.n_searched for r in configuration.repeats)
    n_done = len(configuration.scores)
    return {name: escape(short_text(value)) for name, value in configuration.params.items()} | {
        "configuration": escape(configuration.label),
        score.column: mean if configuration.score else configuration.state,
        "95 % interval": interval,
        "repeats": f"{n_done}" if n_done == n else f"{n_done} of {n}",
        # Not the parameter of that name: what was trained, for every configuration.
        "epochs": str(configuration.config.epochs),
        "time each": duration(fmean(seconds)) if seconds else "–",
    }


def _baselines(summary: StudySummary) -> Iterable[str]:
    """Say what the baselines reach; beside another score, of what their figures are."""
    # Those of a search that has finalists stand in their table.
    if summary.baselines and not (summary.finalists and summary.shown_baselines):
        text = SCORES["accuracy"].text
        named = ", ".join(f"{name} {text(value)}" for name, value in summary.baselines.items())
        is_plain = summary.record.score.is_accuracy
        of_what = "Baselines" if is_plain else "Accuracy of the baselines on unchanged images"
        yield f"{of_what}: {named}."


def _print_finalists(finalists: Finalists, summary: StudySummary) -> None:
    """Print the finalists, best first, the bases of the reports, and what is said of them."""
    score = summary.record.score
    table = Table(title="Finalists, trained again")
    for name in ("#", f"searched: {score.column}", "fresh mean", "95 % interval", "repeats"):
        table.add_column(name, justify="right")
    for member in finalists.members:
        cells = (score.number(member.searched), *score_cells(member.fresh, score))
        style = "bold green" if member is finalists.winner else ""
        table.add_row(str(member.number), *cells, str(member.fresh.n), style=style)
    for base in summary.reports:
        fresh = score_cells(base.configuration.judged_score, score)
        table.add_row(escape(base.name), "–", *fresh, str(len(base.configuration.judged)))
    for name, accuracy in summary.shown_baselines.items():
        table.add_row(escape(name), "–", score.number(accuracy), "–", "–", style="dim")
    print_table(table)
    _print_lines(sentences(finalists, summary.record))
    _print_lines(f"  {said}" for said in _beside_winner(finalists))
    compared = [base.comparison for base in summary.reports if base.comparison]
    _print_lines(f"  {pair.sentence}" for pair in compared if pair.n_pairs)


def _beside_winner(finalists: Finalists) -> Iterable[str]:
    """Say how the winner stands to each other finalist, and what else is told among them."""
    pairs, winner = finalists.verdict.pairs, finalists.winner.label
    said = [pair.sentence for pair in pairs if winner in (pair.a, pair.b) or pair.is_real]
    yield from said
    if n_others := len(pairs) - len(said):
        yield f"no difference can be told in the other {count(n_others, 'pair')} of finalists"


def _verdict(verdict: SweepComparison | None) -> Iterable[str]:
    """Say which differences are real; where there are many pairs, only those that are."""
    for said in outcome(verdict, most_real=_MOST_REAL) if verdict else ():
        yield f"  {said if isinstance(said, str) else said.sentence}"


def _print_lines(lines: Iterable[str], *, style: str = "") -> None:
    for line in lines:
        print_line(line, style=style)


def _progress(summary: StudySummary) -> str:
    n_done, n_left = summary.n_done, summary.n_left
    return f"{n_done} of {n_done + n_left}" if n_left else f"{n_done}"


def print_curves(found: LearningCurves) -> None:
    """Print a row per measure with a column per configuration, then the differences."""
    print_line("Learning curves", style="bold")
    table = Table(show_lines=True)
    table.add_column()
    for name in found.names:
        table.add_column(escape(name), justify="right")
    for one in found.comparisons:
        table.add_row(escape(one.measure.heading), *("\n".join(lines) for lines in one.cells))
    print_table(table)
    for value, configuration in found.configurations.items():
        if value != configuration.value:
            print_line(f"{value}: {configuration.label}")
    for line in [*(f"  {line}" for line in found.outcome), *found.about]:
        print_line(line)
