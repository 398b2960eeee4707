"""The finalists of a search on the page: who won, and how much of the search was luck."""

from dataclasses import dataclass

from hpo.plots.axes import interval_text, mean_text
from hpo.stats import outcome
from hpo.study.score import Score
from hpo.study.summary import Finalist, ReportBase, StudySummary, sentences


@dataclass(frozen=True)
class FinalistRow:
    """One finalist: its name, its parameters in words, a text per column of numbers."""

    name: str
    parameters: str
    cells: tuple[str, ...]
    is_winner: bool


@dataclass(frozen=True, kw_only=True)
class FinalistsSection:
    """The section: a row per finalist, best first, what is said, and the verdict among them.

    `reports` are rows for the bases of the reports, trained with the same fresh repeats, and for
    the baselines.
    """

    columns: tuple[str, ...]
    rows: tuple[FinalistRow, ...]
    reports: tuple[FinalistRow, ...]
    sentences: tuple[str, ...]
    verdict: tuple[tuple[str, bool], ...]


def finalists_section(summary: StudySummary) -> FinalistsSection | None:
    """Return what the finalists say; None where there are none, or not all are trained yet."""
    finalists, score = summary.finalists, summary.record.score
    if finalists is None:
        return None
    return FinalistsSection(
        columns=("in the search", "fresh mean", "95 % interval", "fresh repeats"),
        rows=tuple(
            _row(summary, member, score, is_winner=member is finalists.winner)
            for member in finalists.members
        ),
        reports=(
            *(_report(base, score) for base in summary.reports),
            *(
                FinalistRow(
                    name=f"baseline: {name}",
                    parameters="on the folds of the winner",
                    cells=("-", score.text(accuracy), "-", "-"),
                    is_winner=False,
                )
                for name, accuracy in summary.shown_baselines.items()
            ),
        ),
        sentences=tuple(sentences(finalists, summary.record)),
        verdict=tuple(
            (said, False) if isinstance(said, str) else (said.sentence, said.is_real)
            for said in [
                *outcome(finalists.verdict),
                *(base.comparison for base in summary.reports if base.comparison),
            ]
        ),
    )


def _row(summary: StudySummary, member: Finalist, score: Score, *, is_winner: bool) -> FinalistRow:
    configuration = summary.numbered[member.number]
    return FinalistRow(
        name=member.label,
        parameters=configuration.label,
        cells=(
            score.text(member.searched),
            mean_text(member.fresh, score),
            interval_text(member.fresh, score),
            str(member.fresh.n),
        ),
        is_winner=is_winner,
    )


def _report(base: ReportBase, score: Score) -> FinalistRow:
    configuration = base.configuration
    found = configuration.judged_score
    return FinalistRow(
        name=base.name,
        parameters="the base of that report",
        cells=(
            "-",
            mean_text(found, score),
            interval_text(found, score),
            str(len(configuration.judged)),
        ),
        is_winner=False,
    )
