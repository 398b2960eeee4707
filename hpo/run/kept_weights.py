"""Weights are large: only those of the best configuration so far are kept."""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from hpo.files import MAKE_ROOM, write_whole, writing
from hpo.study.record import Goal
from hpo.study.score import Score
from hpo.study.summary import StudySummary


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

    `places` are the numbers of the configurations: of equal ones the first wins, as in the
    summary. `ranks` are those of whole configurations, `owners` the configurations by run.
    """

    folder: Path
    goal: Goal
    score: Score
    repeats: dict[str, dict[int, _Scored]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    ranks: dict[str, tuple[bool, float, int]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, summary: StudySummary, folder: Path) -> "KeptWeights":
        """Begin with the scores that the study holds already."""
        made = cls(folder, summary.goal, summary.record.score)
        for configuration in summary.configurations:
            identity = configuration.config.identity()
            for r in configuration.repeats:
                if r.run and r.score is not None:
                    made.note(identity, r.repeat, r.run, r.score, place=configuration.number)
        return made

    def note(self, identity: str, repeat: int, run: str, score: float, *, place: int) -> None:
        """Note a finished repeat of the configuration that was asked for as number `place`."""
        repeats = self.repeats.setdefault(identity, {})
        repeats[repeat] = _Scored(run, score)
        self.owners[run] = identity
        place = min(place, self.places.get(identity, place))
        self.places[identity] = place
        self.ranks.pop(identity, None)
        if self._is_whole(repeats):
            self.ranks[identity] = (*self._rank(repeats), -place)

    def add(self, identity: str, repeat: int, run: str, score: float, *, place: int) -> None:
        """Note a finished repeat, and drop the weights of what has lost by it.

        Raises:
            OutputError: the folder cannot be written.
        """
        self.note(identity, repeat, run, score, place=place)
        if identity in self.ranks:
            self.tidy()

    def tidy(self) -> None:
        """Drop the weights of whole configurations that have lost.

        Raises:
            OutputError: the folder cannot be written.
        """
        if not self.ranks:
            return
        best = max(self.ranks, key=lambda one: self.ranks[one])
        kept = {scored.run for scored in self._judged(self.repeats[best])}
        with writing(self.folder, way_out=MAKE_ROOM):
            for path in self.folder.glob("*.safetensors"):
                if path.stem not in kept and self.owners.get(path.stem) in self.ranks:
                    path.unlink(missing_ok=True)

    def write(self, run: str, content: bytes) -> None:
        """Keep the weights of a run, for now.

        Raises:
            OutputError: the folder cannot be written.
        """
        write_whole(self.path(run), content, way_out=MAKE_ROOM)

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
