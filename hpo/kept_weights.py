"""Weights are large: only those of the best configuration so far are kept."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Final

from hpo.files import write_whole, writing
from hpo.score import Score
from hpo.study_record import Goal
from hpo.summary import StudySummary

_WAY_OUT: Final = "Make room, then run the same command again."


@dataclass(frozen=True)
class _Scored:
    """A finished repeat: where its weights are, and its score."""

    run: str
    score: float


@dataclass
class KeptWeights:
    """The folder of weights of one study, a file per trained repeat, named by its run.

    A configuration whose repeats are not all there yet keeps its weights until they are. Finalists
    go before all others, by their fresh repeats.
    """

    folder: Path
    goal: Goal
    score: Score
    repeats: dict[str, dict[int, _Scored]] = field(default_factory=dict)

    @classmethod
    def of(cls, summary: StudySummary, folder: Path) -> "KeptWeights":
        """Begin with the scores that the study holds already."""
        repeats = {
            c.config.identity(): {
                r.repeat: _Scored(r.run, r.score)
                for r in c.repeats
                if r.run and r.score is not None
            }
            for c in summary.configurations
        }
        return cls(folder, summary.goal, summary.record.score, repeats)

    def add(self, identity: str, repeat: int, run: str, score: float) -> None:
        """Note a finished repeat, and drop the weights of what has lost by it.

        Raises:
            OutputError: the folder cannot be written.
        """
        self.repeats.setdefault(identity, {})[repeat] = _Scored(run, score)
        whole = [i for i, repeats in self.repeats.items() if self._is_whole(repeats)]
        if identity in whole:
            best = max(whole, key=lambda i: self._rank(self.repeats[i]))
            kept = self._judged(self.repeats[best])
            self._drop(s.run for i in whole for s in self.repeats[i].values() if s not in kept)

    def write(self, run: str, content: bytes) -> None:
        """Keep the weights of a run, for now.

        Raises:
            OutputError: the folder cannot be written.
        """
        write_whole(self.path(run), content, way_out=_WAY_OUT)

    def path(self, run: str) -> Path:
        """Return where the weights of a run are, if they are kept."""
        return self.folder / f"{run}.safetensors"

    def _is_whole(self, repeats: dict[int, _Scored]) -> bool:
        n_fresh = len(self._fresh(repeats))
        return len(repeats) - n_fresh >= self.goal.n_repeats and (
            n_fresh == 0 or n_fresh >= self.goal.n_final_repeats
        )

    def _rank(self, repeats: dict[int, _Scored]) -> tuple[bool, float]:
        judged = self._judged(repeats)
        return bool(self._fresh(repeats)), self.score.rank(fmean(s.score for s in judged))

    def _judged(self, repeats: dict[int, _Scored]) -> list[_Scored]:
        """Return the repeats that speak for a configuration: the fresh ones, else all."""
        return self._fresh(repeats) or list(repeats.values())

    def _fresh(self, repeats: dict[int, _Scored]) -> list[_Scored]:
        if not self.goal.n_finalists:
            return []
        return [scored for repeat, scored in repeats.items() if repeat >= self.goal.n_repeats]

    def _drop(self, runs: Iterable[str]) -> None:
        with writing(self.folder, way_out=_WAY_OUT):
            for run in runs:
                self.path(run).unlink(missing_ok=True)
