"""Weights are large: only those of the best configuration so far are kept."""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from hpo.files import write_whole
from hpo.score import Score
from hpo.study_record import Goal
from hpo.summary import StudySummary


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
    noted: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, summary: StudySummary, folder: Path) -> "KeptWeights":
        """Begin with the scores that the study holds already."""
        made = cls(folder, summary.goal, summary.record.score)
        for configuration in summary.configurations:
            identity = configuration.config.identity()
            for r in configuration.repeats:
                if r.run and r.score is not None:
                    made.note(identity, r.repeat, r.run, r.score)
        return made

    def note(self, identity: str, repeat: int, run: str, score: float) -> None:
        """Note a finished repeat, of whichever process."""
        self.repeats.setdefault(identity, {})[repeat] = _Scored(run, score)
        self.noted.add(run)

    def add(self, identity: str, repeat: int, run: str, score: float) -> None:
        """Note a finished repeat, and drop the weights of what has lost by it."""
        self.note(identity, repeat, run, score)
        if self._is_whole(self.repeats[identity]):
            self.tidy()

    def tidy(self) -> None:
        """Drop the weights of whole configurations that have lost."""
        whole = [repeats for repeats in self.repeats.values() if self._is_whole(repeats)]
        if not whole:
            return
        kept = {scored.run for scored in self._judged(max(whole, key=self._rank))}
        losers = {scored.run for repeats in whole for scored in repeats.values()} - kept
        for path in self.folder.glob("*.safetensors"):
            if path.stem in losers:
                path.unlink(missing_ok=True)

    def write(self, run: str, content: bytes) -> None:
        """Keep the weights of a run, for now.

        Raises:
            OutputError: the folder cannot be written.
        """
        way_out = "Make room, then run the same command again."
        write_whole(self.path(run), content, way_out=way_out)

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
