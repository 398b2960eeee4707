"""What the last part of a search says: the winner by fresh repeats, and how much was luck."""

from dataclasses import dataclass

from hpo.score import Score
from hpo.stats import Interval, SweepComparison


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


def sentences(finalists: Finalists, score: Score) -> list[str]:
    """Say who won, and what the search alone would have announced."""
    winner, favorite, luck = finalists.winner, finalists.favorite(score), finalists.luck(score)
    assert winner.fresh.mean is not None
    assert favorite.fresh.mean is not None
    n = len(finalists.members)
    again = "trained again on other folds with fresh seeds"
    said = [
        f"{winner.label} is the best of {n} finalists {again}: "
        f"{score.text(winner.fresh.mean)} ({finalists.n_repeats} repeats)."
    ]
    if n < finalists.n_wanted:
        said.append(f"{finalists.n_wanted} finalists were asked for; {n} could be had.")
    size = score.difference_text(abs(luck))
    share = f"{size} of that were luck" if luck > 0 else f"{size} more"
    said.append(
        f"The search alone would have named {favorite.label} with "
        f"{score.text(favorite.searched)}; {again} it reaches "
        f"{score.text(favorite.fresh.mean)}: {share}."
    )
    return said
