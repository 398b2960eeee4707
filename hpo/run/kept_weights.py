"""Weights are large: only those of the best configuration so far are kept."""

from pathlib import Path
from statistics import fmean

from hpo.files import MAKE_ROOM, write_atomic, writing
from hpo.study.record import Goal
from hpo.study.score import Score
from hpo.study.summary import StudySummary


class KeptWeights:
    """The folder of weights of one study, a file per trained repeat, named by its run.

    A configuration whose repeats are not all there yet keeps its weights until they are. Finalists
    go before all others, by their new repeats. Of equal configurations the first one wins, as in
    the summary. A folder that cannot be written is an OutputError.
    """

    def __init__(self, folder: Path, goal: Goal, score: Score) -> None:
        self.folder, self.goal, self.score = folder, goal, score
        # By identity of the configuration: run and score of each repeat, the lowest number, and of
        # complete ones the rank and the runs that speak for it.
        self._repeats: dict[str, dict[int, tuple[str, float]]] = {}
        self._places: dict[str, int] = {}
        self._complete: dict[str, tuple[tuple[bool, float, int], set[str]]] = {}
        self._owners: dict[str, str] = {}  # The identity, by run.

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
        if identity in self._complete:
            self.tidy()

    def tidy(self) -> None:
        """Drop the weights of complete configurations that have lost."""
        if not self._complete:
            return
        _, kept = max(self._complete.values(), key=lambda found: found[0])
        with writing(self.folder, hint=MAKE_ROOM):
            for path in self.folder.glob("*.safetensors"):
                if path.stem not in kept and self._owners.get(path.stem) in self._complete:
                    path.unlink(missing_ok=True)

    def _note(self, identity: str, repeat: int, run: str, score: float, *, place: int) -> None:
        repeats = self._repeats.setdefault(identity, {})
        repeats[repeat] = run, score
        self._owners[run] = identity
        place = self._places[identity] = min(place, self._places.get(identity, place))
        # Of finalists the new repeats decide, which did not choose them.
        n_first = self.goal.n_repeats
        new = {n: found for n, found in repeats.items() if self.goal.n_finalists and n >= n_first}
        is_whole = not new or len(new) >= self.goal.n_final_repeats
        self._complete.pop(identity, None)
        if is_whole and len(repeats) - len(new) >= n_first:
            runs, scores = zip(*(new or repeats).values(), strict=True)
            rank = bool(new), self.score.rank(fmean(scores)), -place
            self._complete[identity] = rank, set(runs)
