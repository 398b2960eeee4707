"""Weights are large: only those of the best configuration so far are kept."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from hpo.files import write_whole
from hpo.summary import StudySummary


@dataclass
class KeptWeights:
    """The folder of weights of one study, a file per trained repeat, named by its run.

    A configuration whose repeats are not all there yet keeps its weights until they are.
    """

    folder: Path
    n_repeats: int
    scores: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, summary: StudySummary, folder: Path) -> "KeptWeights":
        """Begin with the scores that the study holds already."""
        scores = {
            c.config.identity(): {
                r.run: r.score for r in c.repeats if r.run and r.score is not None
            }
            for c in summary.configurations
        }
        return cls(folder, summary.goal.n_repeats, scores)

    def add(self, identity: str, run: str, score: float, content: bytes | None) -> None:
        """Note a finished repeat, keep its weights if there are any, and drop what lost.

        Raises:
            OutputError: the folder cannot be written.
        """
        self.scores.setdefault(identity, {})[run] = score
        if content is not None:
            write_whole(
                self.path(run), content, way_out="Make room, then run the same command again."
            )
        whole = {i: fmean(s.values()) for i, s in self.scores.items() if self._is_whole(s)}
        if identity in whole:
            best = max(whole, key=lambda i: whole[i])
            losers = [i for i in whole if i != best]
            self._drop(run for i in losers for run in self.scores[i])

    def path(self, run: str) -> Path:
        """Return where the weights of a run are, if they are kept."""
        return self.folder / f"{run}.safetensors"

    def _is_whole(self, scores: dict[str, float]) -> bool:
        return len(scores) >= self.n_repeats

    def _drop(self, runs: Iterable[str]) -> None:
        for run in runs:
            self.path(run).unlink(missing_ok=True)
