"""How the study was made, its configurations in full, and the commands that go on from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hpo.config import TrainingConfig
from hpo.space.records import value_text
from hpo.storage.url import named
from hpo.study.record import LIBRARY
from hpo.study.summary import StudySummary

_NO_EFFECT: Final = "no effect"


@dataclass(frozen=True)
class Setting:
    """One field of a configuration: in the base, in the best, and what it means."""

    name: str
    help: str
    base: str
    best: str
    differs: bool


@dataclass(frozen=True)
class Command:
    """A command to go on with, and what it does."""

    text: str
    effect: str


def facts(summary: StudySummary) -> tuple[tuple[str, str], ...]:
    """Return how the study was made, as names and texts."""
    record = summary.record
    data = record.data
    source = "the phantom: synthetic, no real X-rays" if data.is_phantom else data.path
    split = " (the source's own split)" if data.has_own_validation else " (mean of the folds)"
    others = summary.about_others()
    epochs = "varied" if "epochs" in record.names else str(record.space.base.epochs)
    return (
        ("Kind", f"{record.kind} over {', '.join(record.names)}"),
        ("Data", f"{data.name} ({source})"),
        ("Images", f"{data.n_train} training, {data.n_validation} validation{split}"),
        ("Test images", _test_images(summary)),
        *(("Note on the data", note) for note in data.notes),
        ("Fingerprint of the data", data.fingerprint),
        ("Score", _score(summary)),
        ("Epochs", epochs),
        ("Repeats", f"{summary.goal.n_repeats} per configuration"),
        *_search_facts(summary),
        *(("Left out", note) for note in summary.damaged),
        *((("Trials of other programs", " ".join(others)),) if others else ()),
        ("Device", f"{record.device}, {record.precision}"),
        ("Seed", str(record.seed)),
        ("Made with", ", ".join(f"{name} {text}" for name, text in record.versions.items())),
        ("Storage", summary.storage),
        ("Command", record.command),
    )


def settings(summary: StudySummary) -> tuple[Setting, ...]:
    """Return every field of the base configuration and of the best one."""
    base = summary.record.space.base
    best = summary.best.config if summary.best else base
    return tuple(_setting(name, base, best) for name in TrainingConfig.model_fields)


def commands(summary: StudySummary) -> tuple[Command, ...]:
    """Return the commands that go on from here."""
    return tuple(Command(text, effect) for text, effect in _commands(summary))


def _score(summary: StudySummary) -> str:
    score = summary.record.score
    better = "higher" if score.kind.direction == "maximize" else "lower"
    of = f", mean {score.metric} over the stress battery" if score.is_stressed else ""
    return f"{score.name}{of}, {better} is better"


def _test_images(summary: StudySummary) -> str:
    n, n_openings = summary.record.data.n_test, len(summary.openings)
    if not n_openings:
        return f"{n}, kept apart: nothing on this page has seen them"
    return f"{n}, opened {'once' if n_openings == 1 else f'{n_openings} times'}: see the test"


def _search_facts(summary: StudySummary) -> tuple[tuple[str, str], ...]:
    record, goal = summary.record, summary.goal
    if record.kind == "grid":
        return ()
    words = (
        f"{record.sampler}, pruner: {record.pruner}, window: {record.window}, "
        f"aim: {goal.n_trials} configurations"
    )
    if not goal.n_finalists:
        return (("Sampler", words),)
    finalists = f"{goal.n_finalists}, each with {goal.n_final_repeats} fresh repeats"
    return (("Sampler", words), ("Finalists", finalists))


def _setting(name: str, base: TrainingConfig, best: TrainingConfig) -> Setting:
    texts = [
        value_text(getattr(config, name)) if name in config.active_fields() else _NO_EFFECT
        for config in (base, best)
    ]
    help_text = TrainingConfig.model_fields[name].description or ""
    return Setting(name, help_text, texts[0], texts[1], texts[0] != texts[1])


def _commands(summary: StudySummary) -> Iterator[tuple[str, str]]:
    study = named(summary.name, summary.storage)
    if summary.n_left:
        yield f"hpo resume {study}", "trains what is missing"
    yield f"hpo show {study}", "prints the table in the terminal"
    yield (
        f"hpo export {study}",
        "writes CSV files, curves and weights, a folder per configuration",
    )
    yield f"hpo report {study}", "writes this page anew"
    record = summary.record
    if record.command != LIBRARY:
        is_grid = record.kind == "grid"
        more = "--repeats adds repeats" if is_grid else "--trials goes on searching"
        yield record.command, f"again with a larger {more}; nothing is trained twice"
