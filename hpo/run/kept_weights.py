"""Weights are large: only those of the best configuration so far are kept."""

from pathlib import Path
from statistics import fmean

from hpo.files import MAKE_ROOM, write_atomic, writing
from hpo.study.record import Goal
from hpo.study.score import Score
from hpo.study.summary import StudySummary

_Repeats = dict[int, tuple[str, float]]
"""Of one configuration: the run and the score of each finished repeat."""


class KeptWeights:
    """The folder of weights of one study, a file per trained repeat, named by its run.

    A configuration whose repeats are not all there yet keeps its weights until they are. Finalists
    go before all others, by their new repeats. Of equal configurations the first one wins, as in
    the summary. A folder that cannot be written is an OutputError.
    """

    def __init__(self, folder: Path, goal: Goal, score: Score) -> None:
        self.folder, self.goal, self.score = folder, goal, score
        # All by identity of the configuration, but the last by run.
        self._repeats: dict[str, _Repeats] = {}
        self._places: dict[str, int] = {}
        self._ranks: dict[str, tuple[bool, float, int]] = {}  # of complete configurations
        self._owners: dict[str, str] = {}

    @classmethod
    def of(cls, summary: StudySummary, folder: Path) -> "KeptWeights":
        """Begin with the scores that the study holds already."""
        made = cls(folder, summary.goal, summary.record.score)
        for configuration in summary.configurations:
            identity = configuration.config.identity()
            for r in configuration.repeats:
                if r.run and r.score is not None:
                    made._note(identity, r.repeat, r.run, r.score, place=configuration.number)
        return made

    def write(self, run: str, content: bytes) -> None:
        """Keep the weights of a run, for now."""
        write_atomic(self.folder / f"{run}.safetensors", content, hint=MAKE_ROOM)

    def add(self, identity: str, repeat: int, run: str, score: float, *, place: int) -> None:
        """Note a finished repeat of configuration number `place`, and drop what has lost by it."""
        self._note(identity, repeat, run, score, place=place)
        if identity in self._ranks:
            self.tidy()

    def tidy(self) -> None:
        """Drop the weights of complete configurations that have lost."""
        if not self._ranks:
            return
        best = max(self._ranks, key=lambda one: self._ranks[one])
        kept = {run for run, _ in self._judged(self._repeats[best])}
        with writing(self.folder, hint=MAKE_ROOM):
            for path in self.folder.glob("*.safetensors"):
                if path.stem not in kept and self._owners.get(path.stem) in self._ranks:
                    path.unlink(missing_ok=True)

    def _note(self, identity: str, repeat: int, run: str, score: float, *, place: int) -> None:
        repeats = self._repeats.setdefault(identity, {})
        repeats[repeat] = run, score
        self._owners[run] = identity
        place = self._places[identity] = min(place, self._places.get(identity, place))
        n_new = len(self._new(repeats))
        self._ranks.pop(identity, None)
        if len(repeats) - n_new >= self.goal.n_repeats and (
            n_new == 0 or n_new >= self.goal.n_final_repeats
        ):
            mean = fmean(score for _, score in self._judged(repeats))
            self._ranks[identity] = n_new > 0, self.score.rank(mean), -place

    def _judged(self, repeats: _Repeats) -> list[tuple[str, float]]:
        """Return the repeats that speak for a configuration: the new ones, else all."""
        return self._new(repeats) or list(repeats.values())

    def _new(self, repeats: _Repeats) -> list[tuple[str, float]]:
        """Return the repeats of a finalist that did not choose it."""
        if not self.goal.n_finalists:
            return []
        return [found for repeat, found in repeats.items() if repeat >= self.goal.n_repeats]
