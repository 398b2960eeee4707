"""Exporting a study: tables as CSV, the model in `best/`, optionally every configuration."""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, TypeAlias

from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from hpo.data.dataset import CLASS_NAMES
from hpo.errors import OutputError, StudyError, UsageError, WeightsError
from hpo.evaluate.records import Ensemble, Evaluated, Evaluation
from hpo.evaluate.test import read_evaluation
from hpo.evaluate.thresholds import model_threshold, rule_of
from hpo.files import WrittenFiles, remove_leftovers, write_atomic, writing
from hpo.run.reproduce import retrain
from hpo.study.gathering import StoredStudy
from hpo.study.record import DataInfo
from hpo.study.summary import Configuration, Repeat, StudySummary
from hpo.study.test_access import statements
from hpo.study.trials import Job, run_key
from hpo.tables import count
from hpo.training.engine import Run, Weights
from hpo.untrusted import csv_cell, printable
from hpo.views.card import model_card
from hpo.views.evaluations import confusion_text, interval_text

_Write: TypeAlias = Callable[[Path, str | bytes], None]

BEST: Final = "best"
"""The folder of the best configuration."""

_HINT: Final = "Make room or name another folder with --out, then export again."

# Includes .pt files, network.py and alignment.py of older exports.
_NAMES: Final = re.compile(
    r"configurations\.csv|trials\.csv|config\.json|(curves|stress)-repeat-[0-9]+\.csv|test\.txt|"
    r"(network|alignment|predict)\.py|model\.pt2|model_card\.md|"
    r"weights-repeat-[0-9]+\.(safetensors|pt)"
)

_TRIAL_COLUMNS: Final = (
    "number", "folder", "trial", "repeat", "seed", "fold", "state", "score", "epochs", "seconds",
    "run", "reason",
)  # fmt: skip


def export(
    stored: StoredStudy,
    folder: Path,
    *,
    threshold: str | None = None,
    is_all: bool = False,
    has_weights: bool = True,
    lanes: int | None = None,
    model: str | None = None,
) -> Iterator[str]:
    """Write a study into a folder, and yield a line for each slow step.

    `best/` holds the model: `model.pt2` and `predict.py`, which run without hpo, `model_card.md`,
    and the contents of a configuration's folder (all of them with `is_all`): `config.json`, curves
    and stress battery of each repeat as CSV, `test.txt` if the last evaluation includes it, and
    weights. Without `has_weights` only tables are written. `threshold` is a rule; the default is
    that of the evaluation. What is missing is trained again, `lanes` in parallel. Files of an
    earlier export for other repeats are removed. `model` is FILE.py:NAME of a custom model. Files
    written by hpo are listed in the folder; no other files are overwritten.

    Raises:
        StudyError: nothing is complete yet.
        UsageError: the model is custom, and not named.
        OutputError: the folder cannot be written, or other files have the same names.
    """
    summary, runs = stored.summary, stored.runs
    best, evaluation = summary.best, read_evaluation(stored.study)
    if best is None:
        raise StudyError(
            f"No configuration of {summary.name} is complete yet. {summary.to_finish}"
        )
    custom, is_network = best.config.model, summary.record.has_weights
    if has_weights and model is None and custom and is_network:
        raise UsageError(
            f"The model of {summary.name} is your code, which runs only if you name it: add"
            f"{summary.record.model_option}. --no-weights exports only tables."
        )
    chosen = [c for c in summary.configurations if is_all or (has_weights and c is best)]
    names = {c.number: BEST if has_weights and c is best else folder_name(c) for c in chosen}
    homes = {number: folder / name for number, name in names.items()}
    with writing(folder, hint=_HINT):
        files = WrittenFiles(folder)
        _check_places(files, homes.values())
    if has_weights and (is_network or model):
        yield from _train_missing(stored, chosen, lanes=lanes, model=model)
    rule = rule_of(threshold, evaluation)
    thresholds = {c.number: model_threshold(rule, c, runs) for c in chosen if c.judged}
    written: set[Path] = set()

    def write(path: Path, content: str | bytes) -> None:
        files.write(path, content.encode() if isinstance(content, str) else content, hint=_HINT)
        written.add(path)

    fields = {c.number: _fields(c, summary.record.data, thresholds) for c in chosen}
    for c in chosen:
        home, document = homes[c.number], {"params": dict(c.params), "config": fields[c.number]}
        write(home / "config.json", json.dumps(document, indent=2) + "\n")
        for repeat in c.repeats:
            if run := runs.read(repeat.run):
                write(home / f"curves-repeat-{repeat.number}.csv", curves_to_csv(run))
                if run.stress:
                    write(home / f"stress-repeat-{repeat.number}.csv", battery_to_csv(run))
        if evaluation and (evaluated := evaluation.of(c)):
            lines = [*_test_lines(evaluation, evaluated)]
            lines += statements(summary.openings, n_complete=summary.count("complete"))
            write(home / "test.txt", "".join(f"{printable(line)}\n" for line in lines))
    write(folder / "configurations.csv", _configurations_csv(summary, names))
    write(folder / "trials.csv", _trials_csv(summary, names))
    if not has_weights:
        return
    for c in chosen:
        for repeat in c.judged if is_network else ():
            path = homes[c.number] / f"weights-repeat-{repeat.number}.safetensors"
            write(path, _tensors(load_file(_weights_of(stored, c, repeat)), fields, c))
    with writing(folder, hint=_HINT):
        for home in homes.values():  # Files of an earlier export for other repeats.
            for path in home.iterdir():
                if _NAMES.fullmatch(path.name) and path not in written:
                    path.unlink()
    problem = _write_model(write, folder / BEST, model) if is_network else None
    if custom and not is_network:
        yield f"{custom.entry} is an estimator, whose weights are not exported."
    if problem:
        yield f"model.pt2 and predict.py were not written: {problem}"
    value = thresholds[best.number]
    card = model_card(
        summary, best, threshold=value, evaluation=evaluation, has_program=not problem
    )
    write(folder / BEST / "model_card.md", card)


def _train_missing(
    stored: StoredStudy, chosen: Sequence[Configuration], *, lanes: int | None, model: str | None
) -> Iterator[str]:
    """Train repeats again whose weights or runs are not stored, and store them.

    A run is stored if it has the recorded key and score. Yield a line for each training.
    """
    record, runs = stored.summary.record, stored.runs
    missing = list[tuple[Job, Configuration, Repeat, bool, bool]]()
    for c in chosen:
        for repeat in c.judged:
            job, file = _job(len(missing), c, repeat), _weights_of(stored, c, repeat)
            lacks_weights = record.has_weights and not _is_readable(file)
            is_recorded = run_key(record, job).digest() == repeat.run
            lacks_run = is_recorded and runs.read(repeat.run) is None
            if lacks_weights or lacks_run:
                missing.append((job, c, repeat, lacks_weights, lacks_run))
    if not missing:
        return
    yield f"Trainings to repeat because their results were not saved: {len(missing)}."
    jobs = [job for job, *_ in missing]
    with closing(retrain(stored.study, jobs, lanes=lanes, model=model)) as trained:
        for n_done, (job, result) in enumerate(trained, start=1):
            _, c, repeat, lacks_weights, lacks_run = missing[job.ordinal]
            line = f"Retrained {c.label}, repeat {repeat.number} ({n_done} of {len(jobs)})."
            if lacks_weights:
                write_atomic(_weights_of(stored, c, repeat), save(result.weights), hint=_HINT)
            if lacks_run and record.score.of_run(result.run) == repeat.score:
                runs.save(run_key(record, job), result.run)
            elif lacks_run:
                line += " Its score differs from the recorded one: it is not stored."
            yield line


def _weights_of(stored: StoredStudy, c: Configuration, repeat: Repeat) -> Path:
    """Return the stored weights of a repeat, which has no name of a run if the trial lost it."""
    digest = repeat.run or run_key(stored.summary.record, _job(0, c, repeat)).digest()
    return stored.folder / "weights" / f"{digest}.safetensors"


def _is_readable(weights: Path) -> bool:
    try:
        with safe_open(weights, "numpy"):
            return True
    except (OSError, SafetensorError):
        return False


def _fields(
    c: Configuration, data: DataInfo, thresholds: Mapping[int, float]
) -> dict[str, object]:
    """Return the metadata for weights: the configuration, and other non-default values."""
    fields: dict[str, object] = dict(c.config.to_mapping())
    fields |= {"bits": data.bits} if data.bits else {}
    fields |= {} if data.class_names == CLASS_NAMES else {"classes": data.class_names}
    fields |= {"phantom": True} if data.is_phantom else {}
    threshold = thresholds.get(c.number, 0.5)
    return fields | ({} if threshold == 0.5 else {"threshold": threshold})


def _write_model(write: _Write, home: Path, custom: str | None) -> Exception | None:
    """Write the program and script that run without hpo; return the error if it fails."""
    from hpo.weights.handover import predict_script, to_program
    from hpo.weights.load import open_model

    try:
        networks = open_model(home, None, custom)
        write(home / "model.pt2", to_program(networks))
    except (WeightsError, UsageError) as error:
        return error
    write(home / "predict.py", predict_script(networks[0]))
    return None


def folder_name(configuration: Configuration) -> str:
    """Return the folder name of a configuration: its number and its parameters."""
    params = "_".join(f"{name}-{value}" for name, value in configuration.params.items())
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{configuration.number:03d}_{params or 'base'}")[:100]


def _check_places(files: WrittenFiles, homes: Iterable[Path]) -> None:
    """Check that the export would overwrite no files of others.

    Raises:
        OutputError: names the first one and their number.
    """
    blocked: list[Path] = []
    if os.path.lexists(files.folder) and not files.folder.is_dir():
        raise OutputError(f"{files.folder} is a file. Choose a folder with --out.")
    for home in (files.folder, *homes):
        if home.is_dir():
            remove_leftovers(home)
            same_names = (path for path in sorted(home.iterdir()) if _NAMES.fullmatch(path.name))
            blocked += [path for path in same_names if not files.has(path)]
        elif os.path.lexists(home):
            blocked.append(home)
    if blocked:
        n_files = count(len(blocked), "file")
        raise OutputError(
            f"Nothing was exported: it would overwrite {n_files} in {files.folder} that hpo did "
            f"not write, first {blocked[0].relative_to(files.folder)}. Move them, or choose "
            "another folder with --out."
        )


def _tensors(
    weights: Weights, fields: Mapping[int, Mapping[str, object]], c: Configuration
) -> bytes:
    """Return weights as safetensors that include their configuration."""
    from hpo.weights.load import CONFIG_KEY  # This imports torch.

    return save(weights, metadata={CONFIG_KEY: json.dumps(fields[c.number])})


def _job(ordinal: int, c: Configuration, repeat: Repeat) -> Job:
    return Job(
        ordinal=ordinal,
        params=c.params,
        config=c.config,
        repeat=repeat.repeat,
        seed=repeat.seed,
        fold=repeat.fold,
    )


def _test_lines(evaluation: Evaluation, evaluated: Evaluated) -> Iterator[str]:
    """Yield the results of the mean of the repeats as text, then of their ensemble if any."""
    n = len(evaluated.trials)
    rule = f", threshold {evaluation.threshold}" if len(evaluation.classes) == 2 else ""
    yield f"{evaluated.label}, test of {evaluation.study}{rule}"
    yield f"trials: {', '.join(map(str, evaluated.trials))}"
    models: list[tuple[str, Evaluated | Ensemble, int]] = [
        ("mean of the repeats" if n > 1 else "one repeat", evaluated, n)
    ]
    if evaluated.ensemble:
        models.append((f"ensemble of {n} repeats, as one model", evaluated.ensemble, 1))
    for name, result, n_models in models:
        yield f"{name}: {result.n_right:.4g} of {evaluation.n_images} images correct"
        yield f"{confusion_text(evaluation.classes, result.confusion, n_models)}"
        for metric, interval in result.metrics.items():
            yield f"{metric}: {interval_text(interval, '{} (95 % interval {} to {})', 1, '.4f')}"


def _configurations_csv(summary: StudySummary, folders: Mapping[int, str]) -> str:
    names = summary.record.names
    header = ["number", "folder", *names, "state", "metric", "score", "low", "high", "n_repeats"]
    header += ["fresh", "fresh_low", "fresh_high", "n_fresh"] if summary.goal.n_finalists else []
    rows = []
    for c in summary.configurations:
        params = [c.params.get(name) for name in names]
        folder = folders.get(c.number)
        row: list[object] = [c.number, folder, *params, c.state, summary.record.metric]
        for i in (c.score, c.fresh) if summary.goal.n_finalists else (c.score,):
            row += [i.mean, i.low, i.high, i.n] if i else [None, None, None, 0]
        rows.append(row)
    return table_to_csv(header, rows)


def _trials_csv(summary: StudySummary, folders: Mapping[int, str]) -> str:
    rows = [
        [
            c.number, folders.get(c.number), r.trial, r.number, r.seed, r.fold, r.state,
            r.score, r.n_epochs, r.seconds, r.run, r.reason,
        ]
        for c in summary.configurations
        for r in c.repeats
    ]  # fmt: skip
    return table_to_csv(_TRIAL_COLUMNS, rows)


def curves_to_csv(run: Run) -> str:
    """Return the metrics of every epoch: epoch, learning rate, training, then validation.

    Means over the stress battery follow, with empty cells in epochs where it was not measured.
    """
    first = run.epochs[0]
    stress = list(next((epoch.stress for epoch in run.epochs if epoch.stress), {}))
    header = ["epoch", "learning_rate"]
    header += [f"train_{name}" for name in first.train]
    header += [f"validation_{name}" for name in first.validation]
    header += [f"stress_{name}" for name in stress]
    rows: list[list[object]] = []
    for number, epoch in enumerate(run.epochs, start=1):
        stressed = map(epoch.stress.get, stress)
        measured = (*epoch.train.values(), *epoch.validation.values(), *stressed)
        rows.append([number, epoch.learning_rate, *measured])
    return table_to_csv(header, rows)


def battery_to_csv(run: Run) -> str:
    """Return the metrics of the kept weights: a row for unchanged images and one per change."""
    rows = [["unchanged", *run.kept.validation.values()]]
    rows += [[change, *metrics.values()] for change, metrics in run.stress.items()]
    return table_to_csv(["change", *run.kept.validation], rows)


def table_to_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV; None is an empty cell, and formulas are escaped."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([map(csv_cell, row) for row in (header, *rows)])
    return text.getvalue()
