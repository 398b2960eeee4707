"""The verdict of a grid on the page."""

from typing import Final

from hpo.stats import outcome
from hpo.study.summary import StudySummary

MAX_PAIRS: Final = 500


def verdict(summary: StudySummary) -> tuple[tuple[str, bool], ...]:
    """Return every pair as a sentence, and whether it differs; of very many those that do."""
    if summary.verdict is None or not summary.verdict.pairs:
        return ()
    return tuple(
        (said, False) if isinstance(said, str) else (said.sentence, said.is_real)
        for said in outcome(summary.verdict, most=MAX_PAIRS, most_real=MAX_PAIRS)
    )
