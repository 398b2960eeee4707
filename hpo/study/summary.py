"""A study by configuration: the basis of tables, figures, winners and JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Literal

from hpo.config import Scalar, TrainingConfig
from hpo.space.records import params_text, value_text
from hpo.stats import Interval, PairComparison, SweepComparison, headline
from hpo.storage.url import is_needed, mask, named, set_option
from hpo.study.record import LIBRARY, Goal, StudyRecord
from hpo.study.score import SCORES, Score
from hpo.study.test_access import Opening
from hpo.tables import count

_MOST_NAMED: Final = 10

State = Literal["complete", "pruned", "failed", "running", "waiting"]


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """One trial: a configuration trained with one seed on one fold.

    `reported` is the score by epoch, counted from 1, where measured; `accuracies` are those of
    every epoch if the score is the accuracy, else empty. `reason` is why a failed one failed;
    `run` names its file in the run store, None if unknown. `metrics` holds those of the kept
    weights, by split.
    """

    trial: int
    repeat: int
    seed: int
    fold: int
    state: State
    score: float | None
    reported: Mapping[int, float]
    accuracies: tuple[float, ...]
    n_epochs: int
    seconds: float | None
    is_reused: bool
    run: str | None
    reason: str | None
    metrics: Mapping[str, Mapping[str, float]]

    @property
    def number(self) -> int:
        """The number of the repeat for users: `repeat` counts from 0, this from 1."""
        return self.repeat + 1

    def validation(self, metric: str) -> float | None:
        """Return a metric of the validation images by the kept weights, None if not recorded."""
        # If accuracies were reported, the score is one.
        if metric == "accuracy" and self.accuracies:
            return self.score
        return self.metrics.get("validation", {}).get(metric)

    @property
    def last_reported(self) -> float | None:
        """The last reported score, or None."""
        return self.reported[max(self.reported)] if self.reported else None


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One configuration with all its repeats.

    `number` is shown to users, from 1 in order of creation, or 0 and less for course networks. It
    never changes, so an equal configuration proposed later leaves a gap. `params` are the
    `n_varied` parameters of the study that have an effect. `score` is the mean over the complete
    repeats, in a search without those of finalists: `fresh` is the mean over these, and `state`
    does not depend on them.
    """

    number: int
    params: Mapping[str, Scalar]
    n_varied: int
    config: TrainingConfig
    state: State
    score: Interval | None
    repeats: tuple[Repeat, ...]
    n_searched: int
    fresh: Interval | None = None

    def __repr__(self) -> str:
        return f"<#{self.number} {self.label}: {self.state}, {len(self.repeats)} repeats>"

    @property
    def label(self) -> str:
        """The parameters in words: `batch_size 32`."""
        return params_text(self.params)

    @property
    def tag(self) -> str:
        """The number as displayed: `#7`."""
        return f"#{self.number}"

    @property
    def searched(self) -> float | None:
        """The mean score without the repeats of a finalist."""
        return self.score.mean if self.score else None

    @property
    def value(self) -> Scalar:
        """The name in a verdict, unique in a grid: the value of the only parameter, else all."""
        if self.n_varied == 1:
            return next(iter(self.params.values()), self.label)
        exact = (f"{name} {value_text(value)}" for name, value in self.params.items())
        return ", ".join(exact) or self.label

    @property
    def scores(self) -> tuple[float, ...]:
        """The scores of the complete repeats, without those of finalists."""
        of = (r.score for r in self.repeats if r.repeat < self.n_searched)
        return tuple(score for score in of if score is not None)

    @property
    def judged_score(self) -> Interval | None:
        """The mean it is judged by: `fresh` for a finalist, else `score`."""
        return self.fresh or self.score

    @property
    def judged(self) -> tuple[Repeat, ...]:
        """The complete repeats it is judged by: the new ones of a finalist, else all."""
        complete = [r for r in self.repeats if r.state == "complete"]
        return tuple([r for r in complete if r.repeat >= self.n_searched] or complete)


@dataclass(frozen=True, kw_only=True)
class Finalists:
    """The finalists, best first by their new repeats, compared pair by pair as `#7`, `#9`.

    Those that miss the requirements of the study come last, the nearest first.
    """

    members: tuple[Configuration, ...]
    verdict: SweepComparison

    @property
    def winner(self) -> Configuration:
        """The finalist with the best mean of new repeats among those that may win."""
        return self.members[0]

    def favorite(self, score: Score) -> Configuration:
        """Return the finalist that the search alone would have chosen."""
        return max(self.members, key=lambda member: score.rank(member.searched))

    def luck(self, score: Score) -> float:
        """Return the selection bias: how much better its score in the search was."""
        favorite = self.favorite(score)
        fresh = favorite.fresh.mean if favorite.fresh else None
        return score.rank(favorite.searched) - score.rank(fresh)


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """The state of a study. `n_trained` and `n_reused` describe the last call.

    `verdict` compares the configurations of a grid, pair by pair; `finalists` those of a search,
    once they are all trained; `baseline_scores` are the metrics of the baselines on the folds by
    which the best is judged; `reports` are the course networks by name, and `report_pairs`
    compare the winner with them by equal repeats. `openings` lists the openings of the sealed
    test, whose results are not included. `n_open` counts the trainings to be done if nothing is
    pruned, including running and waiting ones. `damaged` explains why unreadable trials are left
    out. `foreign` are trials that other programs trained or finished, which are not counted;
    `left_alone` are waiting trials with something that the study cannot express. `report` is the
    path of its page, if there is one. `begun` is the start of the first training, in local time.
    `processors` are the kinds that trained it on clusters. `driver` describes the process that
    trains it now.
    """

    name: str
    url: str = field(repr=False)
    record: StudyRecord
    goal: Goal
    baselines: Mapping[str, Mapping[str, float]]
    configurations: tuple[Configuration, ...]
    verdict: SweepComparison | None = None
    finalists: Finalists | None = None
    baseline_scores: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    reports: Mapping[str, Configuration] = field(default_factory=dict)
    report_pairs: tuple[PairComparison, ...] = ()
    openings: tuple[Opening, ...] = ()
    processors: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    n_open: int = 0
    foreign: tuple[int, ...] = ()
    left_alone: tuple[int, ...] = ()
    n_trained: int = 0
    n_reused: int = 0
    report: str | None = None
    begun: datetime | None = None
    driver: str = ""

    def __repr__(self) -> str:
        best = "none yet"
        if self.best and (score := self.best_score) and score.mean is not None:
            mean = self.record.score.text(score.mean)
            best = f"#{self.best.number} ({self.best.label}), {self.record.score.title} {mean}"
        n = len(self.configurations)
        return f"<{self.record.kind} {self.name}: {n} configurations, best {best}>"

    @cached_property
    def numbered(self) -> Mapping[int, Configuration]:
        """The configurations by their numbers."""
        return {c.number: c for c in self.configurations}

    @cached_property
    def best(self) -> Configuration | None:
        """The winner of the finalists, else the best mean of all complete repeats."""
        if self.finalists:
            return self.numbered[self.finalists.winner.number]
        complete = [c for c in self.configurations if c.state == "complete"]
        return min(complete, key=lambda c: (self.shortfall(c), -self.rank(c)), default=None)

    def shortfall(self, configuration: Configuration) -> float:
        """Return by how much a configuration misses the requirements to win."""
        return self.record.shortfall(r.metrics for r in configuration.judged)

    @property
    def storage(self) -> str:
        """The URL of the database as displayed, without a password."""
        return mask(self.url)

    @property
    def command(self) -> str:
        """The recorded command, for this name and this storage if the study was copied."""
        command = self.record.command
        if command == LIBRARY:
            return command
        name = None if self.name == self.record.default_name() else self.name
        command = set_option(command, "--study", name)
        return set_option(command, "--storage", self.storage if is_needed(self.url) else None)

    @property
    def whole_command(self) -> str:
        """The command that would train at once what all calls have requested."""
        goal, command = self.goal, set_option(self.command, "--timeout", None)
        requested = [("--repeats", goal.n_repeats)]
        if self.record.kind == "search":
            requested = [("--trials", goal.n_trials), ("--finalists", goal.n_finalists)]
            requested += [("--final-repeats", goal.n_final_repeats)]
        for option, n in requested if command != LIBRARY and not goal.most_repeats else ():
            command = set_option(command, option, str(n))
        return command

    @property
    def to_resume(self) -> str:
        """The command that continues the study."""
        return f"hpo resume {named(self.name, self.storage)}{self.record.model_option}"

    @property
    def to_finish(self) -> str:
        """A sentence on how to complete the study."""
        return (
            f"It is in training by {self.driver}." if self.driver else f"Run `{self.to_resume}`."
        )

    @property
    def requirement(self) -> str:
        """A sentence on how many configurations meet the requirements, or which comes nearest."""
        record, best = self.record, self.best
        if not record.require or best is None:
            return ""
        if not self.shortfall(best):
            complete = [c for c in self.configurations if c.state == "complete"]
            n, n_met = len(complete), sum(not self.shortfall(c) for c in complete)
            have = "has" if n_met == 1 else "have"
            of_all = f"{n_met} of {count(n, 'configuration')}"
            return f"{of_all} {have} {record.required}; the others cannot win."
        measured = record.measured(r.metrics for r in best.judged).items()
        have = ", ".join(f"{100 * x:.1f}\u00a0% {n}" for n, x in measured if not math.isnan(x))
        which = "finalist" if self.finalists else "configuration"
        nearest = f"{best.tag} comes nearest, with {have}" if have else "it was not recorded"
        return f"No {which} has {record.required}: {nearest}."

    @property
    def best_score(self) -> Interval | None:
        """The score of the best: that of its new repeats if it has won as a finalist."""
        if self.best is None:
            return None
        return self.best.fresh if self.finalists else self.best.score

    @property
    def last_verdict(self) -> SweepComparison | None:
        """The comparison of the finalists by their new repeats, else that of the sweep."""
        return self.finalists.verdict if self.finalists else self.verdict

    @property
    def sweep_headline(self) -> str | None:
        """The result of the grid in one sentence; None for a search, or if nothing is compared."""
        return headline(self.verdict, self.record.names) if self.verdict else None

    @property
    def baseline_score(self) -> Score:
        """The metric of the study on unchanged images; accuracy if an old study lacks it."""
        plain = self.record.score.plain
        is_measured = all(plain.metric in metrics for metrics in self.baselines.values())
        return plain if is_measured else SCORES["accuracy"]

    @property
    def baseline_values(self) -> Mapping[str, float]:
        """The baselines by `baseline_score`."""
        metric = self.baseline_score.metric
        return {name: metrics[metric] for name, metrics in self.baselines.items()}

    @property
    def shown_baselines(self) -> Mapping[str, float]:
        """The baselines in a table of scores: empty if they have another metric."""
        is_same = self.record.score.name == self.baseline_score.name
        return self.baseline_values if is_same else {}

    @property
    def n_done(self) -> int:
        """The number of complete or pruned trainings, including course networks."""
        trained = [*self.configurations, *self.reports.values()]
        return sum(r.state in ("complete", "pruned") for c in trained for r in c.repeats)

    @property
    def n_left(self) -> int:
        """The number of trainings that `hpo resume` runs; it tries a grid's failed ones again."""
        return self.n_open + (self.count("failed") if self.record.kind == "grid" else 0)

    @property
    def n_failed(self) -> int:
        """The number of configurations without a score because their trainings failed."""
        return sum(c.state == "failed" for c in self.configurations)

    def count(self, state: State) -> int:
        """Return the number of trials in a state."""
        return sum(r.state == state for c in self.configurations for r in c.repeats)

    def rank(self, configuration: Configuration) -> float:
        """Return a number that is higher for a better mean; the lowest if there is none."""
        score = configuration.score
        return self.record.score.rank(score.mean if score else None)

    def full_rank(self, configuration: Configuration) -> tuple[bool, bool, float]:
        """Rank the best first, even if it won as a finalist; then complete ones by the mean."""
        is_best = configuration is self.best
        return is_best, configuration.state == "complete", self.rank(configuration)

    def about_others(self) -> list[str]:
        """List trials that other programs put into the study."""
        is_search = self.record.kind == "search"
        expected = "in the ranges of this search" if is_search else "a missing part of this grid"
        about = {
            "Trials of other programs are not counted": self.foreign,
            f"Enqueued trials that are not {expected} are ignored": self.left_alone,
        }
        lines = []
        for problem, trials in about.items():
            shown = ", ".join(f"#{number}" for number in trials[:_MOST_NAMED])
            more = ", …" * (len(trials) > _MOST_NAMED)
            lines += [f"{problem} ({len(trials)}): {shown}{more}."] if trials else []
        return lines


def sentences(summary: StudySummary) -> list[str]:
    """Return sentences on the winner, and on the best configuration of the search alone."""
    finalists, score, goal = summary.finalists, summary.record.score, summary.goal
    if finalists is None:
        return []
    winner, favorite = finalists.winner, finalists.favorite(score)
    best, fresh = (c.fresh.mean if c.fresh else None for c in (winner, favorite))
    n_fresh = winner.fresh.n if winner.fresh else 0
    searched = favorite.searched
    if best is None or fresh is None or searched is None:
        return []
    n = len(finalists.members)
    n_met = sum(not summary.shortfall(member) for member in finalists.members)
    having = f" with {summary.record.required}" if summary.record.require else ""
    only = "finalist" if n == 1 else f"one of {n} finalists"
    of_all = f"the {n_met} of {n} finalists" if having else f"{n} finalists"
    place = f"the only {only}" if n_met == 1 else f"the best of {of_all}"
    place = f"{winner.tag} is {place}{having}"
    if not n_met:
        place = f"{winner.tag} of {n} finalists comes nearest to the requirements"
    method = "retrained with new seeds"
    data = summary.record.data
    if not data.has_own_validation:
        n_used = goal.n_repeats + goal.n_final_repeats
        is_again = 0 < data.n_named_folds < n_used
        method += " on all folds" if is_again else " on other folds"
    lines = [f"{place}, {method}: {score.text(best)} (mean of {n_fresh} repeats)."]
    if n < goal.n_finalists:
        lines.append(f"{goal.n_finalists} finalists were requested; {n} are available.")
    also = "also " if favorite is winner else ""
    size = score.difference_text(*sorted((searched, fresh), reverse=True))
    way = f"{size} {'too optimistic' if finalists.luck(score) > 0 else 'too pessimistic'}"
    if score.difference(searched, fresh) == 0:
        way = "right"
    lines.append(
        f"{favorite.tag} {also}scored best in the search: {score.text(searched)}, and "
        f"{score.text(fresh)} when retrained. The search was {way}."
    )
    return lines


def to_document(summary: StudySummary) -> dict[str, Any]:
    """Return the summary as the JSON document that `--json` prints."""
    data, score = summary.record.data, summary.record.score
    verdict, finalists, best = summary.verdict, summary.finalists, summary.best
    compared = {pair.b: asdict(pair) for pair in summary.report_pairs}
    required = {"least": summary.record.require, "finding": summary.requirement}
    return {
        "study": summary.name,
        "kind": summary.record.kind,
        "storage": summary.storage,
        "begun": summary.begun and summary.begun.isoformat(timespec="seconds"),
        "score": score_document(score),
        "window": summary.record.window or None,
        "data": _fields(
            data,
            *("name", "fingerprint", "is_phantom", "n_train", "n_validation", "n_test", "notes"),
        ),
        "baselines": {name: dict(metrics) for name, metrics in summary.baselines.items()},
        "configurations": [
            {"number": c.number, **_configuration(c)} for c in summary.configurations
        ],
        "best": best
        and summary.best_score
        and {
            "number": best.number,
            "params": dict(best.params),
            "config": best.config.to_mapping(),
            "score": summary.best_score.mean,
        },
        "verdict": verdict
        and {
            "headline": summary.sweep_headline,
            "pairs": [asdict(pair) for pair in verdict.pairs],
            "basis": verdict.basis,
        }
        | ({"n_pairs_left_out": verdict.n_left_out} if verdict.n_left_out else {}),
        "finalists": finalists
        and {
            "configurations": [
                {"number": m.number, "searched": m.searched, "fresh": _interval(m.fresh)}
                for m in finalists.members
                if m.fresh
            ],
            "winner": finalists.winner.number,
            "luck": finalists.luck(score),
            "pairs": [asdict(pair) for pair in finalists.verdict.pairs],
        },
        "reports": [
            {"report": name, **_configuration(base), "comparison": compared.get(name)}
            for name, base in summary.reports.items()
        ],
        "n_openings": len(summary.openings),
        "openings": list(map(asdict, summary.openings)),
        "processors": list(summary.processors),
        "damaged": list(summary.damaged),
        "foreign_trials": list(summary.foreign),
        "left_alone_trials": list(summary.left_alone),
        "n_trained": summary.n_trained,
        "n_reused": summary.n_reused,
        "report": summary.report,
        "driver": summary.driver or None,
    } | ({"requirement": required} if required["least"] else {})


def score_document(score: Score) -> dict[str, Any]:
    """Return the score for JSON documents; the margin is a share of 1, or plain."""
    return {"name": score.name, "direction": score.kind.direction, "margin": score.kind.margin}


def scored_document(configuration: Configuration, score: Interval | None) -> dict[str, Any]:
    """Return a configuration and a score of it for JSON documents."""
    return {
        "params": dict(configuration.params),
        "config": configuration.config.to_mapping(),
        "state": configuration.state,
        "score": score.mean if score else None,
        "low": score.low if score else None,
        "high": score.high if score else None,
    }


def _configuration(configuration: Configuration) -> dict[str, Any]:
    return {
        **scored_document(configuration, configuration.score),
        "fresh": configuration.fresh and _interval(configuration.fresh),
        "repeats": [
            {"repeat": r.number, "epochs": r.n_epochs}
            | _fields(r, "trial", "seed", "fold", "state", "score", "seconds", "reason", "metrics")
            for r in configuration.repeats
        ],
    }


def _fields(record: object, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _interval(interval: Interval) -> dict[str, Any]:
    return {"score": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}
