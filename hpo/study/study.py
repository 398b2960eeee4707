"""Creating studies, opening those that fit the request, and their data."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import optuna
from pydantic import Field, TypeAdapter, ValidationError

from hpo import space as spaces
from hpo.choices import ScoredWeights
from hpo.config import did_you_mean
from hpo.data.dataset import Dataset
from hpo.errors import DataError, StudyError, fault_list, first_fault
from hpo.storage.database import DAMAGE, Database, damaged_study
from hpo.storage.opening import attributes_of, database_of, in_command, open_storage, url_of
from hpo.storage.url import named, set_option, storage_option
from hpo.study.record import (
    FORMAT,
    LIBRARY,
    WINDOW,
    DataInfo,
    Goal,
    StudyRecord,
    check_name,
    describe_data,
)

T = TypeVar("T")

_ATTRIBUTE: Final = "hpo"
_MOST_LISTED: Final = 5
_METRIC: TypeAlias = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
_BASELINES: Final = TypeAdapter(dict[str, _METRIC | dict[str, _METRIC]])
_BASELINE_SCORES: Final = TypeAdapter(dict[str, dict[str, list[_METRIC]]])
_NO_PRUNER: Final = optuna.pruners.NopPruner()


def find(storage: Database, name: str) -> optuna.Study | None:
    """Return the study of this name, or None."""
    if name not in storage.study_names():
        return None
    return optuna.load_study(study_name=name, storage=storage, pruner=_NO_PRUNER)


def create(storage: Database, name: str, record: StudyRecord) -> optuna.Study:
    """Create a study, or open the existing one.

    Raises:
        StudyError: a study of this name exists and does not fit.
    """
    # Deleting a study while a process writes to it leaves trials behind, which SQLite gives to the
    # next study with the same number. Deleting that study deletes them too.
    for _ in range(2):
        study = optuna.create_study(
            study_name=check_name(name),
            storage=storage,
            direction=record.score.kind.direction,
            load_if_exists=True,
            pruner=_NO_PRUNER,
        )
        if not is_blank(study) or not study.get_trials(deepcopy=False):
            break
        optuna.delete_study(study_name=name, storage=storage)
    check_fits(study, record)
    if not study.metric_names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([record.score.title])
    return study


def check_fits(study: optuna.Study, record: StudyRecord) -> None:
    """Check that the study fits the request; write the record into an empty one.

    Raises:
        StudyError: it differs; the message lists all differences.
    """
    if not is_blank(study):
        faults = _differences(read_record(study), record)
    elif fault := _direction_fault(study, record):
        faults = [fault]
    else:
        study.set_user_attr(_ATTRIBUTE, record.to_document())
        return
    if faults:
        summary = f"The study {study.study_name} exists and differs from this request:"
        raise StudyError(
            fault_list(summary, faults)
            + "\nGive the new study another name with --study, or remove the old one: hpo delete "
            + in_command(study)
        )


def renew_record(
    study: optuna.Study,
    data: DataInfo,
    *,
    margin: float | None = None,
    weights: ScoredWeights | None = None,
    require: Mapping[str, float] | None = None,
) -> StudyRecord:
    """Record the current path of the data, and how the study is judged."""
    old = read_record(study)
    record = old.judged_by(margin, weights, require)
    if data.path is not None and (data.path, data.notes) != (old.data.path, old.data.notes):
        is_moved = data.path != old.data.path
        command = old.command
        if is_moved and command != LIBRARY:
            command = set_option(command, "--data", data.path)
        record = replace(record, data=data, command=command)
    if record != old:
        study.set_user_attr(_ATTRIBUTE, record.to_document())
    return record


def open_study(storage: Database, name: str) -> optuna.Study:
    """Open an existing study by its name, the start of it, its number, or `latest`.

    Raises:
        StudyError: no study has this name (the nearest is suggested), or hpo did not create it.
    """
    study = _load(storage, _resolve(name, storage.study_names()))
    read_record(study)
    return study


def open_recorded_data(
    study: optuna.Study, record: StudyRecord, *, moved: Path | None = None
) -> Dataset:
    """Open the data of a study at the recorded path, or where they were moved.

    Raises:
        DataError: they are missing or have changed.
    """
    path = record.data.path if moved is None else str(moved)
    hint = (
        "Give their new path with --data PATH; this records it and trains nothing: "
        f"hpo resume {in_command(study)}{record.model_option} --data PATH --dry-run"
    )
    from hpo.data.source import open_data  # `hpo show` does not need this import.

    try:
        dataset = open_data(None if path is None else Path(path), record.data.manifest, hint=hint)
    except DataError as error:
        raise DataError(f"The data of the study {study.study_name}: {error}") from error
    if dataset.fingerprint != record.data.fingerprint:
        raise DataError(
            f"The data of the study {study.study_name} at {path or 'the phantom'} have changed "
            f"(fingerprint {dataset.fingerprint[:8]}, recorded {record.data.fingerprint[:8]}). "
            "Restore the old data, give their path with --data PATH, or start a new study."
        )
    return dataset


def move_data(name: str, storage_url: str, path: Path) -> None:
    """Record the new path of the data of a study."""
    from hpo.storage.lock import study_lock

    storage = open_storage(storage_url, create=False)
    study = open_study(storage, name)
    record = read_record(study)
    dataset = open_recorded_data(study, record, moved=path)
    with study_lock(storage, study.study_name):
        renew_record(study, describe_data(dataset, path, record.data.manifest))


def count_trials(storage: Database, name: str) -> int:
    """Count the trials of a study that hpo may delete, even if it is damaged.

    Raises:
        StudyError: no study has this name, or another program created it.
    """
    if (full := _resolve(name, storage.study_names())) != name:
        raise StudyError(f"hpo delete needs the full name: {named(full, storage.url)}.")
    study = _load(storage, name)
    if not is_of_hpo(study) and not is_blank(study):
        raise _made_by("another program", study)
    return storage.n_trials(study._study_id)


def _resolve(name: str, names: Sequence[str]) -> str:
    """Return the matching name, else the name unchanged."""
    if name in names or not names:
        return name
    if name == "latest":
        return names[-1]
    if name.isdecimal() and len(name) < 10 and 1 <= int(name) <= len(names):
        return names[int(name) - 1]
    matches = [n for n in names if n.startswith(name)]
    if len(matches) > 1:
        listed = ", ".join(matches[:_MOST_LISTED]) + ", …" * (len(matches) > _MOST_LISTED)
        raise StudyError(f"{name[:120]!r} matches {len(matches)} studies: {listed}.")
    return matches[0] if matches else name


def _load(storage: Database, name: str) -> optuna.Study:
    if study := find(storage, name):
        return study
    near = did_you_mean(name, storage.study_names())
    raise StudyError(
        f"There is no study {name[:120]!r} in {storage.shown_url}. {near}{near and ' '}"
        f"`hpo show{storage_option(storage.url)}` lists the studies."
    )


def is_blank(study: optuna.Study) -> bool:
    """Whether the study has no attributes, because its creator was killed before writing them.

    Any trials of hpo in it are left over from a deleted study.
    """
    trials = study.get_trials(deepcopy=False)
    return not attributes_of(study) and all("config" in trial.user_attrs for trial in trials)


def is_of_hpo(study: optuna.Study) -> bool:
    """Whether hpo created the study, as far as its records remain."""
    database = database_of(study)
    if database is None:
        return _ATTRIBUTE in attributes_of(study)
    return database.is_of_hpo(study._study_id)


def read_record(study: optuna.Study) -> StudyRecord:
    """Return the record of a study.

    Raises:
        StudyError: another program or version of hpo created the study, or it is damaged.
    """
    document = attributes_of(study).get(_ATTRIBUTE)
    version = document.get("format") if isinstance(document, dict) else FORMAT
    if version != FORMAT or not is_of_hpo(study):
        raise _made_by("another version of hpo" if version != FORMAT else "another program", study)
    record = _read(study, _ATTRIBUTE, StudyRecord.from_document)
    if fault := _direction_fault(study, record):
        raise damaged_study(study.study_name, url_of(study), fault)
    return record


def read_goal(study: optuna.Study) -> Goal:
    """Return the goal of the study, or raise StudyError if it is damaged."""
    return _read(study, "goal", Goal.from_document)


def read_baselines(study: optuna.Study) -> dict[str, dict[str, float]]:
    """Return the metrics of each baseline, or raise StudyError if they are damaged."""

    def read(document: Any) -> dict[str, dict[str, float]]:
        by_name = _BASELINES.validate_python(document)
        # Older studies have recorded accuracies alone.
        metrics = {n: x if isinstance(x, dict) else {"accuracy": x} for n, x in by_name.items()}
        if any("accuracy" not in values for values in metrics.values()):
            raise ValueError("an accuracy is missing")
        return metrics

    return _read(study, "baselines", read)


def read_baseline_scores(study: optuna.Study) -> dict[str, dict[str, list[float]]]:
    """Return the metrics of each baseline by repeat of the best configuration, if recorded."""
    return _read(study, "baseline_scores", _BASELINE_SCORES.validate_python)


def read_processors(study: optuna.Study) -> tuple[str, ...]:
    """Return the kinds of processors that trained the study on clusters."""
    processors = attributes_of(study).get("processors")
    return tuple(map(str, processors)) if isinstance(processors, list) else ()


def _read(study: optuna.Study, attribute: str, read: Callable[[Any], T]) -> T:
    document = attributes_of(study).get(attribute, {})
    try:
        return read(document)
    except DAMAGE as problem:
        raise damaged(study, attribute, problem) from None


def _made_by(others: str, study: optuna.Study) -> StudyError:
    return StudyError(
        f"The study {study.study_name} was created by {others} and cannot be used here. Choose "
        "another name with --study."
    )


def damaged(study: optuna.Study, attribute: str, problem: Exception) -> StudyError:
    """Return the error for a study with a damaged attribute."""
    fault = first_fault(problem) if isinstance(problem, ValidationError) else str(problem)
    return damaged_study(study.study_name, url_of(study), f"{attribute!r}: {fault}")


def raise_goal(study: optuna.Study, goal: Goal) -> Goal:
    """Raise the goal of the study to include the given one, and return it."""
    old = read_goal(study)
    new = old.raised(goal)
    if "goal" not in attributes_of(study) or new != old:
        study.set_user_attr("goal", asdict(new))
    return new


def _direction_fault(study: optuna.Study, record: StudyRecord) -> str | None:
    directions, expected = [d.name.lower() for d in study.directions], record.score.kind.direction
    is_right = directions == [expected]
    return None if is_right else f"its direction is {directions or 'missing'}, not {expected}"


def _differences(old: StudyRecord, new: StudyRecord) -> list[str]:
    if old.kind != new.kind:
        return [f"it is a {old.kind}, not a {new.kind}"]
    faults = []
    if old.data.fingerprint != new.data.fingerprint:
        faults.append(
            f"its data are {old.data.name} ({old.data.path or 'the phantom'}, fingerprint "
            f"{old.data.fingerprint[:8]}), not {new.data.name} "
            f"({new.data.path or 'the phantom'}, fingerprint {new.data.fingerprint[:8]})"
        )
    old_identity, new_identity = old.identity(), new.identity()
    for name in ("names", "seed", "sampler", "pruner", "metric"):
        if old_identity[name] != new_identity[name]:
            shown = {"names": "--param"}.get(name, f"--{name}")
            faults.append(f"{shown}: {old_identity[name]} there, {new_identity[name]} here")
    for name in ("device", "precision"):
        # Other devices and precisions give other numbers; `auto` means the recorded ones.
        there, here = getattr(old, name), getattr(new, name)
        if here not in ("auto", there, there.partition(":")[0]):
            faults.append(f"--{name}: {there} there, {here} here")
    if new.window not in (0, WINDOW, old.window):
        faults.append(f"--window: {old.window} there, {new.window} here")
    return faults + spaces.space_differences(old_identity["space"], new_identity["space"])
