"""Studies as tables in the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Final

from rich.markup import escape
from rich.table import Table

from hpo.cli.output import console, count, duration, percent
from hpo.config import Scalar
from hpo.openings import statements
from hpo.runs import RunStore
from hpo.signs import study_signs
from hpo.stats import PairComparison
from hpo.storage_url import storage_option
from hpo.summary import Configuration, StudySummary

_MOST_ROWS: Final = 15
_MOST_COLUMNS: Final = 3
_MOST_PAIRS: Final = 10


def print_study(summary: StudySummary, runs: RunStore) -> None:
    """Print a study: a row per configuration, the baselines, and what to know beside them."""
    _print_lines([_title(summary)], style="bold")
    rows = list(summary.configurations)
    if summary.record.kind == "search":
        rows = sorted((c for c in rows if c.score), key=_mean, reverse=True)
    names = [name for name in summary.record.names if any(name in row.params for row in rows)]
    console.print(_table(summary, rows[:_MOST_ROWS], names))
    if summary.best and len(names) > _MOST_COLUMNS:
        _print_lines([f"Best: {params_text(summary.best.params)}"])
    _print_lines(_verdict(summary))
    _print_lines(f"Look twice: {sign}" for sign in study_signs(summary, runs))
    _print_lines(notes(summary, len(rows)))


def print_studies(summaries: Sequence[StudySummary]) -> None:
    """Print a row per study."""
    if not summaries:
        _print_lines(["No studies yet: `hpo grid --param batch_size` makes the first one."])
        return
    # Expanded: a long configuration takes what is left, where it would squeeze the rest away.
    table = Table(expand=True)
    table.add_column("study", no_wrap=True)
    table.add_column("data", no_wrap=True)
    for name in ("trials", "best, %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("best configuration", ratio=1, no_wrap=True, overflow="ellipsis")
    for summary in summaries:
        best = summary.best
        table.add_row(
            escape(summary.name),
            escape(data_name(summary)),
            _progress(summary),
            percent(best.score.mean) if best and best.score else "–",
            escape(params_text(best.params)) if best else "–",
        )
    console.print(table)
    for summary in summaries:
        if n := len(summary.openings):
            times = "once" if n == 1 else f"{n} times"
            _print_lines([f"The test of {summary.name} was opened {times}."])


def notes(summary: StudySummary, n_rows: int) -> list[str]:
    """Return what a reader must know beside the table."""
    data = summary.record.data
    found = []
    if n_rows > _MOST_ROWS:
        found.append(f"The best {_MOST_ROWS} of {n_rows} are shown; `hpo report` has them all.")
    if data.is_phantom:
        found.append(
            "These are synthetic images (the phantom), made to try the tool: --data PATH uses "
            "real X-rays."
        )
    if n_pruned := summary.count("pruned"):
        found.append(f"{count(n_pruned, 'trial')} pruned: behind the median early on.")
    n_open = summary.count("waiting") + summary.count("running")
    n_failed = summary.count("failed")
    if n_open or (n_failed and summary.record.kind == "grid"):
        states = {"to be done": n_open, "failed": n_failed}
        left = ", ".join(f"{count(n, 'training')} {state}" for state, n in states.items() if n)
        command = f"hpo resume {summary.name}{storage_option(summary.storage)}"
        found.append(f"{left}: `{command}` goes on.")
    elif n_failed:
        found.append(f"{count(n_failed, 'training')} failed.")
    return found + statements(summary.openings, n_complete=summary.count("complete"))


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
    results = ["accuracy, %", *({"epochs"} - set(named)), "time each"]
    if summary.goal.n_repeats > 1:
        results[1:1] = ["95 % interval", "repeats"]
    table = Table(expand=not is_narrow)
    for name in named:
        table.add_column(name, overflow="fold")
    for name in results:
        table.add_column(name, justify="right")
    for name in line:
        table.add_column(name, ratio=1, no_wrap=True, overflow="ellipsis")
    columns = [*named, *results, *line]
    for row in rows:
        cells = _cells(row)
        style = "bold green" if row is summary.best else ""
        table.add_row(*(cells.get(name, "") for name in columns), style=style)
    table.add_section()
    for baseline, score in summary.baselines.items():
        cells = {(named or line)[0]: baseline, "accuracy, %": percent(score)}
        table.add_row(*(cells.get(name, "") for name in columns), style="dim")
    return table


def _cells(configuration: Configuration) -> dict[str, str]:
    score = configuration.score
    interval = "–"
    if score and score.low is not None:
        interval = f"{percent(score.low)} to {percent(score.high)}"
    seconds = [r.seconds for r in configuration.repeats if r.seconds is not None]
    n_done, n = len(configuration.scores), len(configuration.repeats)
    return {name: escape(_text(value)) for name, value in configuration.params.items()} | {
        "configuration": escape(params_text(configuration.params)),
        "accuracy, %": percent(score.mean) if score else configuration.state,
        "95 % interval": interval,
        "repeats": f"{n_done}" if n_done == n else f"{n_done} of {n}",
        # Not the parameter of that name: what was trained, for every configuration.
        "epochs": str(configuration.config.epochs),
        "time each": duration(fmean(seconds)) if seconds else "–",
    }


def _verdict(summary: StudySummary) -> Iterable[str]:
    """Say which differences are real; where there are many pairs, only those that are."""
    pairs = summary.verdict.pairs if summary.verdict else ()
    real = [pair for pair in pairs if pair.is_real]
    shown: Sequence[PairComparison] = pairs if len(pairs) <= _MOST_PAIRS else real
    yield from (f"  {pair.sentence}" for pair in shown)
    if len(shown) < len(pairs):
        yield f"  no difference can be told in the other {count(len(pairs) - len(real), 'pair')}"


def _print_lines(lines: Iterable[str], *, style: str = "") -> None:
    for line in lines:
        console.print(escape(line), soft_wrap=True, style=style)


def _progress(summary: StudySummary) -> str:
    n = sum(len(c.repeats) for c in summary.configurations)
    if summary.record.kind == "search":
        n = max(n, summary.goal.n_trials)
    done = summary.count("complete") + summary.count("pruned")
    return f"{done}" if done == n else f"{done} of {n}"


def params_text(params: Mapping[str, Scalar]) -> str:
    """Write parameters in one line, numbers to four digits."""
    return ", ".join(f"{name} {_text(value)}" for name, value in params.items()) or "base"


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _mean(configuration: Configuration) -> float:
    mean = configuration.score.mean if configuration.score else None
    return float("-inf") if mean is None else mean
