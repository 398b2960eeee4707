"""Studies as tables in the terminal."""

from collections.abc import Sequence
from statistics import fmean

from rich.markup import escape
from rich.table import Table

from hpo.cli.output import console, duration, percent
from hpo.summary import Configuration, StudySummary

_MOST_ROWS = 15


def print_study(summary: StudySummary) -> None:
    """Print a study: a row per configuration, then the baselines."""
    rows = list(summary.configurations)
    if summary.record.kind == "search":
        rows = sorted((c for c in rows if c.score), key=_mean, reverse=True)
    names = list(summary.record.names)
    table = Table(title=escape(_title(summary)), title_justify="left", title_style="bold")
    for name in _shown_names(rows, names):
        table.add_column(name)
    for name in ("accuracy, %", "95 % interval", "repeats", "epochs", "time each"):
        table.add_column(name, justify="right")
    shown = _shown_names(rows, names)
    for configuration in rows[:_MOST_ROWS]:
        table.add_row(*_row(configuration, shown, is_best=configuration is summary.best))
    if summary.baselines:
        table.add_section()
    for name, score in summary.baselines.items():
        cells = [name, *[""] * (len(shown) - 1)] if shown else []
        table.add_row(*cells, percent(score), "", "", "", "", style="dim")
    console.print(table)
    for note in notes(summary, len(rows)):
        console.print(escape(note), soft_wrap=True)


def print_studies(summaries: Sequence[StudySummary]) -> None:
    """Print a row per study."""
    table = Table(title="Studies", title_justify="left", title_style="bold")
    for name in ("study", "data", "trials", "best accuracy, %", "best configuration"):
        table.add_column(name, overflow="fold")
    for summary in summaries:
        best = summary.best
        table.add_row(
            escape(summary.name),
            escape(data_name(summary)),
            _progress(summary),
            percent(best.score.mean) if best and best.score else "–",
            escape(_params(best)) if best else "–",
        )
    console.print(table)


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
    if summary.count("pruned"):
        found.append(f"{summary.count('pruned')} trials were pruned: behind the median early on.")
    n_open = summary.count("waiting") + summary.count("running")
    if n_open or summary.count("failed"):
        found.append(
            f"{n_open} trainings are to be done, {summary.count('failed')} failed: "
            f"`hpo resume {summary.name}` goes on."
        )
    return found


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


def _row(configuration: Configuration, names: Sequence[str], *, is_best: bool) -> list[str]:
    score = configuration.score
    interval = "–"
    if score and score.low is not None:
        interval = f"{percent(score.low)} to {percent(score.high)}"
    seconds = [r.seconds for r in configuration.repeats if r.seconds is not None]
    n_done = len(configuration.scores)
    row = [escape(_text(configuration.params.get(name, ""))) for name in names]
    row += [
        percent(score.mean) if score else configuration.state,
        interval,
        f"{n_done}"
        if n_done == len(configuration.repeats)
        else f"{n_done} of {len(configuration.repeats)}",
        str(configuration.config.epochs),
        duration(fmean(seconds)) if seconds else "–",
    ]
    return [f"[bold green]{cell}[/]" for cell in row] if is_best else row


def _shown_names(rows: Sequence[Configuration], names: Sequence[str]) -> list[str]:
    """Return the parameters that have a value in some row, six at most for a search."""
    return [name for name in names if any(name in row.params for row in rows)][:6]


def _progress(summary: StudySummary) -> str:
    n = sum(len(c.repeats) for c in summary.configurations)
    done = summary.count("complete") + summary.count("pruned")
    return f"{done}" if done == n else f"{done} of {n}"


def _params(configuration: Configuration) -> str:
    return ", ".join(f"{n} {_text(v)}" for n, v in configuration.params.items()) or "base"


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _mean(configuration: Configuration) -> float:
    mean = configuration.score.mean if configuration.score else None
    return float("-inf") if mean is None else mean
