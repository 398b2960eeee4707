"""Comparing studies on the same data, with paired repeats where possible."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any, Final, TypeAlias

from hpo.errors import StudyError, fault_list
from hpo.space.records import value_text
from hpo.stats import SweepComparison
from hpo.storage.runs import RunStore
from hpo.storage.url import storage_option
from hpo.study.intervals import compare_repeats, mean_score
from hpo.study.score import Score, read_score
from hpo.study.summary import Configuration, Repeat, StudySummary, score_document, scored_document

MOST: Final = 6

# Repeats are paired if they have the same seed and fold.
_Key: TypeAlias = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One configuration of a compared study."""

    name: str
    summary: StudySummary
    configuration: Configuration

    @property
    def rank(self) -> float:
        """A number that is higher for a better mean over the compared repeats."""
        found = self.configuration.judged_score
        return self.summary.record.score.rank(found.mean if found else None)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Studies compared by one score. The verdict uses the names of the configurations."""

    summaries: tuple[StudySummary, ...]
    entries: tuple[Entry, ...]
    verdict: SweepComparison
    notes: tuple[str, ...]

    @property
    def score(self) -> Score:
        """The score that they are compared by."""
        return self.summaries[0].record.score

    @property
    def best(self) -> Entry:
        """The best mean, among configurations with several repeats if there are any."""
        return max(self.entries, key=lambda e: (len(e.configuration.judged) > 1, e.rank))


def compare(
    summaries: Sequence[StudySummary],
    *,
    best: bool | None = None,
    metric: str | None = None,
    margin: float | None = None,
    runs: RunStore | None = None,
) -> Comparison:
    """Compare the configurations of several studies, by one metric that all of them have.

    The metric is `metric`, else the score that all studies optimize, else accuracy. Pairs from two
    different studies are compared, by the repeats with the same seed and fold. With `best` only
    the best of each study, by its own score, is compared; None does so for more than six studies.
    `margin` is the smallest difference that matters, None for that of the studies if they agree.

    Raises:
        UsageError: there is no such metric, or `margin` is invalid.
        StudyError: the studies are on different data, or one has nothing finished or lacks the
            metric.
    """
    data = [summary.record.data for summary in summaries]
    if len({one.fingerprint for one in data}) > 1:
        faults = [
            f"{s.name}: {d.name} ({d.path or 'the phantom'}, fingerprint {d.fingerprint[:8]})"
            for s, d in zip(summaries, data, strict=True)
        ]
        raise StudyError(
            fault_list("Studies on different data cannot be compared:", faults)
            + "\nChoose studies on the same data; "
            + f"`hpo show{storage_option(summaries[0].storage)}` lists them."
        )
    for summary in summaries:
        if not any(c.scores for c in summary.configurations):
            raise StudyError(f"No training of {summary.name} is finished yet. {summary.to_finish}")
    own = {summary.record.metric for summary in summaries}
    score = read_score(metric or (own.pop() if len(own) == 1 else "accuracy"))
    scored = [_by_score(summary, score) for summary in summaries]
    margins = {summary.record.margin for summary in scored}
    margin = margins.pop() if margin is None and len(margins) == 1 else margin
    scored = [replace(s, record=replace(s.record, margin=None).judged_by(margin)) for s in scored]
    entries = tuple(
        entry for pair in zip(summaries, scored, strict=True) for entry in _entries(*pair, best)
    )
    across = [(a, b) for a, b in combinations(entries, 2) if a.summary is not b.summary]
    same = [(a, b) for a, b in across if _are_same(a, b)]
    finished = {entry.name: _by_key(entry) for entry in entries}
    keys = sorted({key for of_one in finished.values() for key in of_one})
    verdict = compare_repeats(
        {name: [of_one.get(key) for key in keys] for name, of_one in finished.items()},
        [(a.name, b.name) for a, b in across if (a, b) not in same],
        entries[0].summary.record,
        runs=runs,
    )
    # More repeats would not help pairs that share none.
    apart = "their repeats do not pair up, so they cannot be compared."
    pairs = tuple(
        pair if pair.n_pairs else replace(pair, sentence=f"{pair.a} and {pair.b}: {apart}")
        for pair in verdict.pairs
    )
    optimized = [
        f"{s.name} by {s.record.score.title}" for s in summaries if s.record.metric != score.name
    ]
    notes = [
        f"Compared by validation {score.title}. Chosen by another score: {', '.join(optimized)}."
    ] * bool(optimized)
    notes += [verdict.basis] if verdict.basis else []
    return Comparison(
        summaries=tuple(scored),
        entries=entries,
        verdict=replace(verdict, pairs=pairs),
        notes=(*notes, *_notes(scored, entries, same)),
    )


def to_document(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as the JSON document that `--json` prints."""
    data = comparison.summaries[0].record.data
    return {
        "studies": [summary.name for summary in comparison.summaries],
        "storage": comparison.summaries[0].storage,
        "score": score_document(comparison.score),
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "is_phantom": data.is_phantom,
        },
        "configurations": [
            {
                "name": entry.name,
                "study": entry.summary.name,
                "number": entry.configuration.number,
                **scored_document(entry.configuration, entry.configuration.judged_score),
                "n_repeats": len(entry.configuration.judged),
            }
            for entry in comparison.entries
        ],
        "verdict": {"pairs": [asdict(pair) for pair in comparison.verdict.pairs]},
        "notes": list(comparison.notes),
    }


def _by_score(summary: StudySummary, score: Score) -> StudySummary:
    """Return a study rescored by another metric that its trials recorded."""
    if score.name == summary.record.metric:
        return summary
    record = replace(summary.record, metric=score.name, margin=None)

    def rescored(repeat: Repeat) -> Repeat:
        under_stress = repeat.metrics.get("stress", {}).get(score.metric)
        value = under_stress if score.is_stressed else repeat.validation(score.metric)
        # The scores reported per epoch are of another metric.
        return replace(repeat, score=value, reported={})

    configurations = []
    for c in summary.configurations:
        repeats, n = tuple(map(rescored, c.repeats)), c.n_searched
        of_search = mean_score([r for r in repeats if r.repeat < n], record)
        fresh = mean_score([r for r in repeats if r.repeat >= n], record)
        configurations.append(replace(c, repeats=repeats, score=of_search, fresh=fresh))
    if not any(c.scores for c in configurations):
        raise StudyError(
            f"The study {summary.name} has no {score.name} on record, because it optimizes "
            f"{summary.record.metric}. Compare with --metric accuracy."
        )
    return replace(summary, record=record, configurations=tuple(configurations))


def _entries(summary: StudySummary, scored: StudySummary, best: bool | None) -> Iterator[Entry]:
    """Yield the compared configurations: chosen by the study's score, shown by the common one."""
    finished = [c for c in summary.configurations if c.scores]
    if best or (best is None and len(finished) > MOST):
        finished = [max(finished, key=summary.full_rank)]
    for c in finished:
        value = c.tag if summary.record.kind == "search" else value_text(c.value)
        name = f"{value} of {summary.name}"
        yield Entry(name=name, summary=scored, configuration=scored.numbered[c.number])


def _are_same(a: Entry, b: Entry) -> bool:
    """Whether two configurations consist of the same trainings."""
    one, other = ({r.run for r in entry.configuration.judged} for entry in (a, b))
    return None not in one and bool(one & other)


def _by_key(entry: Entry) -> dict[_Key, Repeat]:
    has_folds = not entry.summary.record.data.has_own_validation
    return {(r.seed, r.fold if has_folds else 0): r for r in entry.configuration.judged}


def _notes(
    summaries: Sequence[StudySummary],
    entries: Sequence[Entry],
    same: Sequence[tuple[Entry, Entry]],
) -> Iterator[str]:
    keys: dict[str, set[_Key]] = {}
    for summary in summaries:
        shown = [entry for entry in entries if entry.summary is summary]
        keys[summary.name] = {key for entry in shown for key in _by_key(entry)}
        n_finished = sum(bool(c.scores) for c in summary.configurations)
        if n_finished > len(shown) and summary.finalists:
            yield (
                f"Of {summary.name} the winner of {len(summary.finalists.members)} finalists is "
                "compared, by its new repeats (--all compares every configuration)."
            )
        elif n_finished > len(shown):
            yield (
                f"Of {summary.name} the best of {n_finished} configurations is compared, chosen "
                "by its scores in the study, so part of its lead is luck (--all compares all)."
            )
    for a, b in same:
        yield f"{a.name} and {b.name} are the same trainings."
    for one, other in combinations(keys, 2):
        if not keys[one] & keys[other]:
            yield (
                f"{one} (seeds {_seeds(keys[one])}) and {other} (seeds {_seeds(keys[other])}) are "
                "not paired, because no repeats have the same seed and fold. Train one again with "
                "the --seed of the other."
            )
    places = {s.name: f"{s.record.device} {s.record.precision}" for s in summaries}
    if len(set(places.values())) > 1:
        where = ", ".join(f"{name} on {place}" for name, place in places.items())
        yield f"They were trained on different devices, where rounding differs: {where}."


def _seeds(keys: Iterable[_Key]) -> str:
    seeds = sorted(seed for seed, _ in keys)
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
