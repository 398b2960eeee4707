"""Exporting a study: tables as CSV, and a folder per configuration with its curves and weights."""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from hpo.errors import OutputError, StudyError
from hpo.evaluate import Ensemble, Evaluated, Evaluation
from hpo.files import WrittenFiles, remove_leftovers, write_atomic, writing
from hpo.run.artifacts import battery_to_csv, curves_to_csv, table_to_csv
from hpo.run.reproduce import Retrained
from hpo.search import Job
from hpo.stats import Interval
from hpo.storage.runs import RunStore
from hpo.storage.url import named
from hpo.study.summary import Configuration, Repeat, StudySummary
from hpo.study.test_access import statements
from hpo.training.engine import Weights
from hpo.untrusted import printable

Which = Literal["best", "all", "none"]

_HINT: Final = "Make room or name another folder with --out, then export again."

_WEIGHTS: Final = re.compile(r"weights-repeat-[0-9]+\.(safetensors|pt)")
_NAMES: Final = re.compile(
    r"configurations\.csv|trials\.csv|config\.json|(curves|stress)-repeat-[0-9]+\.csv|test\.txt|"
    rf"network\.py|{_WEIGHTS.pattern}"
)

_TRIAL_COLUMNS: Final = (
    "number", "folder", "trial", "repeat", "seed", "fold", "state", "score", "epochs", "seconds",
    "run", "reason",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """What an export is made from. `train` trains jobs again and yields results as they come.

    `evaluation` is what the last opening of the test found, if it was opened.
    """

    summary: StudySummary
    runs: RunStore
    weights: Path
    train: Callable[[Sequence[Job]], Retrained]
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class _Chosen:
    """A configuration whose weights are exported, and its folder."""

    configuration: Configuration
    home: Path
    bits: int


def export(exporter: Exporter, folder: Path, *, which: Which = "best") -> Iterator[str]:
    """Write a study into a folder, and yield a line for each thing that takes time.

    `configurations.csv` and `trials.csv` hold the tables; each configuration has a folder with
    `config.json`, `curves-repeat-N.csv`, `stress-repeat-N.csv` where the stress battery was read,
    `test.txt` where the test was opened for it and, for the
    configurations that `which` names, the weights of each repeat, as safetensors and as the state
    dict of the reports' own `nn.Sequential`. `network.py` builds that of the first repeat, and the
    ensemble of all. Weights that were not kept are trained again, together; those of the best
    configuration are kept from then on. Weights of an earlier export that belong to other repeats
    are removed from the folder: they are no part of the ensemble. What hpo wrote is on a list in
    the folder; nothing else is written over.

    Raises:
        StudyError: nothing is complete yet.
        OutputError: the folder cannot be written, or has files of others in the places of these.
    """
    summary = exporter.summary
    if summary.best is None:
        raise StudyError(
            f"No configuration of {summary.name} is complete yet: hpo resume "
            f"{named(summary.name, summary.storage)}"
        )
    homes = [folder / folder_name(configuration) for configuration in summary.configurations]
    with writing(folder, hint=_HINT):
        files = WrittenFiles(folder)
        _check_places(files, homes)
    _write(files, folder / "configurations.csv", _configurations_csv(summary))
    _write(files, folder / "trials.csv", _trials_csv(summary))
    chosen: list[_Chosen] = []
    bits = summary.record.data.bits
    for home, configuration in zip(homes, summary.configurations, strict=True):
        _write(files, home / "config.json", _config_json(configuration, bits))
        _write_curves(files, exporter.runs, configuration, home)
        _write_test(files, exporter, configuration, home)
        if which == "all" or (which == "best" and configuration is summary.best):
            chosen.append(_Chosen(configuration, home, bits))
    yield from _write_weights(files, exporter, [one for one in chosen if one.configuration.judged])


def _check_places(files: WrittenFiles, homes: Sequence[Path]) -> None:
    """Check that no file of others has the name of one that an export writes.

    Raises:
        OutputError: names the first, and counts them.
    """
    taken: list[Path] = []
    for home in (files.folder, *homes):
        if home.is_dir():
            remove_leftovers(home)
            named = (path for path in sorted(home.iterdir()) if _NAMES.fullmatch(path.name))
            taken += [path for path in named if not files.has(path)]
        elif os.path.lexists(home):
            taken.append(home)
    if taken:
        n_files = "1 file" if len(taken) == 1 else f"{len(taken):,} files"
        raise OutputError(
            f"Nothing is exported: it would overwrite {n_files} in {files.folder} that hpo has no "
            f"record of writing or that changed since, first {taken[0].relative_to(files.folder)}."
            " Move them, or name another folder with --out."
        )


def folder_name(configuration: Configuration) -> str:
    """Return a name for the folder of a configuration: its number and its parameters."""
    params = "_".join(f"{name}-{value}" for name, value in configuration.params.items())
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{configuration.number:03d}_{params or 'base'}")[:100]


def _write_curves(
    files: WrittenFiles, runs: RunStore, configuration: Configuration, home: Path
) -> None:
    for repeat in configuration.repeats:
        run = runs.read(repeat.run) if repeat.run else None
        if run is not None:
            _write(files, home / f"curves-repeat-{repeat.number}.csv", curves_to_csv(run))
            if run.stress:
                battery = battery_to_csv(run)
                _write(files, home / f"stress-repeat-{repeat.number}.csv", battery)


def _write_test(
    files: WrittenFiles, exporter: Exporter, configuration: Configuration, home: Path
) -> None:
    found = exporter.evaluation
    trials = {repeat.trial for repeat in configuration.repeats}
    for evaluated in found.configurations if found else ():
        if found and trials.issuperset(evaluated.trials):
            n_complete = exporter.summary.count("complete")
            told = statements(exporter.summary.openings, n_complete=n_complete)
            lines = map(printable, [*_test_lines(found, evaluated), *told])
            _write(files, home / "test.txt", "".join(f"{line}\n" for line in lines))


def _test_lines(evaluation: Evaluation, evaluated: Evaluated) -> Iterator[str]:
    """Write the mean of the repeats in plain words, then their ensemble if there are several."""
    n_repeats = len(evaluated.trials)
    yield f"{evaluated.label}, test of {evaluation.study}"
    yield from _marks(evaluated, evaluation.n_images, n_repeats, threshold=evaluation.threshold)
    yield f"trials: {', '.join(map(str, evaluated.trials))}"
    if ensemble := evaluated.ensemble:
        yield f"ensemble: the mean probability of {ensemble.n} repeats, taken as one model"
        marks = _marks(ensemble, evaluation.n_images, 1, threshold=f"{ensemble.threshold:.4g}")
        yield from (f"ensemble {line}" for line in marks)


def _marks(
    found: Evaluated | Ensemble, n_images: int, n_models: int, *, threshold: str
) -> Iterator[str]:
    """Write accuracy, right answers and confusion of each model on average, then every metric."""
    counts = found.confusion
    mean = "" if n_models == 1 else f", mean of {n_models} repeats"
    yield f"accuracy: {_interval_text(found.metrics['accuracy'], scale=100, unit=' %')}"
    yield f"right: {found.n_right:.4g} of {n_images} images{mean}"
    for name, right, wrong in (
        ("pneumonia", counts.true_positive, counts.false_negative),
        ("normal", counts.true_negative, counts.false_positive),
    ):
        yield f"{name} images: {right / n_models:.4g} right, {wrong / n_models:.4g} wrong{mean}"
    yield f"threshold: {threshold}"
    for name, metric in found.metrics.items():
        if name != "accuracy":
            yield f"{name}: {_interval_text(metric)}"


def _interval_text(found: Interval, *, scale: float = 1, unit: str = "") -> str:
    if found.mean is None:
        return "not defined"
    digits = 4 if scale == 1 else 2
    text = f"{scale * found.mean:.{digits}f}{unit}"
    if found.low is None or found.high is None:
        return text
    low, high = scale * found.low, scale * found.high
    return f"{text} (95 % interval {low:.{digits}f} to {high:.{digits}f})"


def _write_weights(
    files: WrittenFiles, exporter: Exporter, chosen: Sequence[_Chosen]
) -> Iterator[str]:
    """Write the weights of configurations: the kept ones, then the others as they are trained."""
    missing = [
        (one, repeat)
        for one in chosen
        for repeat in one.configuration.judged
        if not _write_kept(files, exporter, one, repeat)
    ]
    if missing:
        yield f"Weights that were not kept are trained again: {len(missing)}"
        yield from _write_trained(files, exporter, missing)
    for one in chosen:
        _write_script(files, one)


def _write_trained(
    files: WrittenFiles, exporter: Exporter, missing: Sequence[tuple[_Chosen, Repeat]]
) -> Iterator[str]:
    jobs = [_job(n, one.configuration, repeat) for n, (one, repeat) in enumerate(missing)]
    with closing(exporter.train(jobs)) as trained:
        for n_done, (job, result) in enumerate(trained, start=1):
            one, repeat = missing[job.ordinal]
            _write_repeat(files, one, repeat, result.weights)
            kept = _kept(exporter, repeat)
            if kept and one.configuration is exporter.summary.best:
                write_atomic(kept, save(result.weights), hint=_HINT)
            label = f"{one.configuration.label}, repeat {repeat.number}"
            yield f"{label}: its weights are trained again ({n_done} of {len(jobs)})"


def _write_kept(files: WrittenFiles, exporter: Exporter, one: _Chosen, repeat: Repeat) -> bool:
    """Write the weights of a repeat where they were kept; return whether they were."""
    kept = _kept(exporter, repeat)
    weights = _read(kept) if kept else None
    if weights is not None:
        _write_repeat(files, one, repeat, weights)
    return weights is not None


def _write_repeat(files: WrittenFiles, one: _Chosen, repeat: Repeat, weights: Weights) -> None:
    # torch takes two seconds to import: tables are exported without it.
    from hpo.weights.export import to_safetensors_file, to_torch_file

    path = one.home / f"weights-repeat-{repeat.number}"
    content = to_safetensors_file(weights, one.configuration.config, one.bits)
    files.write(path.with_suffix(".safetensors"), content, hint=_HINT)
    files.write(path.with_suffix(".pt"), to_torch_file(weights), hint=_HINT)


def _write_script(files: WrittenFiles, one: _Chosen) -> None:
    """Write network.py, and leave no weights of hpo's own beside it that it does not name."""
    from hpo.weights.export import network_script

    names = [f"weights-repeat-{repeat.number}" for repeat in one.configuration.judged]
    states = [f"{name}.pt" for name in names]
    _write(files, one.home / "network.py", network_script(one.configuration.config, states))
    with writing(one.home, hint=_HINT):
        for path in one.home.iterdir():
            if _WEIGHTS.fullmatch(path.name) and path.stem not in names:
                path.unlink()


def _kept(exporter: Exporter, repeat: Repeat) -> Path | None:
    """Return where the weights of a repeat are if they were kept; None where no run is named."""
    return exporter.weights / f"{repeat.run}.safetensors" if repeat.run else None


def _job(number: int, configuration: Configuration, repeat: Repeat) -> Job:
    return Job(
        ordinal=number,
        params=configuration.params,
        config=configuration.config,
        repeat=repeat.repeat,
        seed=repeat.seed,
        fold=repeat.fold,
    )


def _read(path: Path) -> Weights | None:
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return None


def _write(files: WrittenFiles, path: Path, text: str) -> None:
    files.write(path, text.encode(), hint=_HINT)


def _config_json(configuration: Configuration, bits: int) -> str:
    document = {
        "params": dict(configuration.params),
        "config": configuration.config.to_mapping() | ({"bits": bits} if bits else {}),
    }
    return json.dumps(document, indent=2) + "\n"


def _configurations_csv(summary: StudySummary) -> str:
    names = summary.record.names
    header = ["number", "folder", *names, "state", "metric", "score", "low", "high", "n_repeats"]
    header += ["fresh", "fresh_low", "fresh_high", "n_fresh"] if summary.goal.n_finalists else []
    rows = []
    for c in summary.configurations:
        params = [c.params.get(name) for name in names]
        row: list[object] = [c.number, folder_name(c), *params, c.state, summary.record.metric]
        row += _interval_cells(c.score)
        rows.append(row + (_interval_cells(c.fresh) if summary.goal.n_finalists else []))
    return table_to_csv(header, rows)


def _interval_cells(found: Interval | None) -> list[object]:
    return [found.mean, found.low, found.high, found.n] if found else [None, None, None, 0]


def _trials_csv(summary: StudySummary) -> str:
    rows = [
        [
            c.number, folder_name(c), r.trial, r.number, r.seed, r.fold, r.state, r.score,
            r.n_epochs, r.seconds, r.run, r.reason,
        ]
        for c in summary.configurations
        for r in c.repeats
    ]  # fmt: skip
    return table_to_csv(_TRIAL_COLUMNS, rows)
