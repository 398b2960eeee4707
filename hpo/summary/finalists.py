"""What the last part of a search says: the winner by fresh repeats, and how much was luck."""

from dataclasses import dataclass

from hpo.stats import Interval, SweepComparison
from hpo.study.record import StudyRecord
from hpo.study.score import Score


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A configuration that was trained again; `number` counts from 1 in the order of the study.

    `searched` is its mean score in the search, `fresh` that of its new repeats.
    """

    number: int
    searched: float
    fresh: Interval

    @property
    def label(self) -> str:
        """How it is called in a verdict."""
        return f"#{self.number}"


@dataclass(frozen=True, kw_only=True)
class Finalists:
    """The finalists, best first by their fresh repeats, compared pair by pair.

    `n_wanted` is how many the goal asks for.
    """

    members: tuple[Finalist, ...]
    verdict: SweepComparison
    n_wanted: int
    n_repeats: int

    @property
    def winner(self) -> Finalist:
        """The one with the best mean of fresh repeats."""
        return self.members[0]

    def favorite(self, score: Score) -> Finalist:
        """Return the one that the search alone would have named."""
        return max(self.members, key=lambda member: score.rank(member.searched))

    def luck(self, score: Score) -> float:
        """Return by how much the search announced its favorite too well, in the score's unit."""
        favorite = self.favorite(score)
        assert favorite.fresh.mean is not None
        return score.rank(favorite.searched) - score.rank(favorite.fresh.mean)


def sentences(finalists: Finalists, record: StudyRecord) -> list[str]:
    """Say who won, and what the search alone would have announced."""
    score = record.score
    winner, favorite = finalists.winner, finalists.favorite(score)
    assert winner.fresh.mean is not None
    assert favorite.fresh.mean is not None
    n = len(finalists.members)
    again = "retrained with new seeds"
    again += "" if record.data.has_own_validation else " on other folds"
    said = [
        f"{winner.label} is the best of {n} finalists, {again}: "
        f"{score.text(winner.fresh.mean)} (mean of {finalists.n_repeats} repeats)."
    ]
    if n < finalists.n_wanted:
        said.append(f"{finalists.n_wanted} finalists were asked for; {n} could be had.")
    also = "also " if favorite is winner else ""
    low, high = sorted((favorite.searched, favorite.fresh.mean))
    size = score.difference_text(high, low)
    way = "too optimistic" if finalists.luck(score) > 0 else "too pessimistic"
    said.append(
        f"{favorite.label} {also}scored best in the search: {score.text(favorite.searched)}, and "
        f"{score.text(favorite.fresh.mean)} when retrained. The search was {size} {way}."
    )
    return said
