"""From a request to a plan: everything is checked before anything is opened or trained."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpo import models
from hpo import space as spaces
from hpo.choices import (
    AUTO,
    DEFAULT_SPACE,
    N_FINAL_REPEATS,
    N_FINALISTS,
    N_TRIALS,
    ScoredWeights,
    read_lanes,
)
from hpo.config import Scalar, TrainingConfig
from hpo.data.dataset import Dataset, seal
from hpo.data.manifest import NO_MANIFEST, Manifest
from hpo.data.source import open_data
from hpo.errors import ModelError, TrainingError, UsageError, either, fault_list
from hpo.space import Space
from hpo.stats import MOST_LOOKS
from hpo.storage import MOST_TRIALS
from hpo.storage.paths import study_folder
from hpo.storage.url import default_storage, mask_command, sqlite_path
from hpo.study.record import (
    LIBRARY,
    LOOK_EVERY,
    PRUNERS,
    SAMPLERS,
    WINDOW,
    DataInfo,
    Goal,
    Kind,
    StudyRecord,
    check_name,
    describe_data,
)
from hpo.study.score import Score, default_metric, read_required, read_score
from hpo.training.engine import SMALLEST_STRESSED
from hpo.training.machine import check_names, check_ray, versions

GRID_REPEATS = 5
SEARCH_REPEATS = 1
MAX_REPEATS = 20
_MOST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a command that trains, named like its options.

    `data` None is the phantom; `manifest` describes how to read the data. `set` holds values or
    their texts, `values` lists of them or texts such as `16,32`. `repeats` None means 5 for a
    grid, 1 for a search. With `until_decided` a grid gets more, at most `max_repeats`, None for
    20. `lanes` is the number of parallel trainings, None for auto. `metric` is the score to
    optimize (`hpo.study.score.SCORES`), None for the default of its kind and classes. `margin` is
    the smallest difference that matters, as scores are printed (1.0 is one point of accuracy);
    None for the recorded one, else the default of the metric. `weights` are those whose scores are
    compared, None for the weights that each training scores. `ray` is the cluster to train on,
    `auto` or HOST:PORT; `mixed_processors` allows several kinds in it. No training starts after
    `timeout` seconds. `command` is recorded as the command that created the study. `model` is a
    custom network instead of the built-in one: a function, or FILE.py:NAME.

    The other settings are for searches: the number of configurations, the sampler and the pruner.
    The best `finalists` get `final_repeats` more, and so do the course networks with
    `with_baselines`. At most `window` configurations are in progress, None for 6. With `patience`,
    a search ends after that many configurations in a row without an improvement. `start_from` is a
    study, or a configuration as in STUDY#7, to try after the base. `require` holds the lowest
    validation metrics of a winner; None keeps the recorded ones.
    """

    # An empty variable counts as unset, as for the commands.
    data: Path | str | None = field(default_factory=lambda: os.environ.get("HPO_DATA") or None)
    manifest: Manifest = NO_MANIFEST
    space: str | Mapping[str, Any] = DEFAULT_SPACE
    model: str | Callable[..., Any] | None = None
    set: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    study: str | None = None
    storage: str = field(default_factory=default_storage)
    repeats: int | None = None
    until_decided: bool = False
    max_repeats: int | None = None
    epochs: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    lanes: int | None = None
    metric: str | None = None
    margin: float | None = None
    weights: ScoredWeights | None = None
    ray: str | None = None
    mixed_processors: bool = False
    timeout: float | None = None
    command: str = LIBRARY

    trials: int = N_TRIALS
    sampler: str = "auto"
    start_from: str | None = None
    require: Mapping[str, Any] | None = None
    pruner: str = "median"
    finalists: int = N_FINALISTS
    final_repeats: int = N_FINAL_REPEATS
    with_baselines: bool = False
    window: int | None = None
    patience: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A checked request: the study, data and goal; `settings` define where and how to train.

    `start` holds the parameters that a search tries after the base.

    Raises:
        UsageError: the settings contradict each other.
    """

    name: str
    record: StudyRecord
    goal: Goal
    dataset: Dataset
    settings: Settings
    start: tuple[Mapping[str, Scalar], ...] = ()

    def __post_init__(self) -> None:
        settings = self.settings
        if settings.timeout is not None and not settings.timeout > 0:
            raise UsageError(f"--timeout must be above 0 seconds, but got {settings.timeout:g}.")
        if settings.ray is not None:
            check_ray(settings.ray)
            if self.record.is_gpu_named:
                raise UsageError(
                    "--ray trains on every GPU of the cluster, but got --device "
                    f"{self.record.device}. Use --device cuda."
                )
        elif settings.mixed_processors:
            raise UsageError("--mixed-processors needs --ray.")


def plan_grid(names: Sequence[str], settings: Settings) -> Plan:
    """Plan the sweep of one parameter, or of all combinations of several.

    Raises:
        UsageError: no parameter, an unknown one, or one without a sweep; values out of bounds.
        DataError: the data cannot be used.
    """
    if extra := [name for name in settings.values if name not in names]:
        faults = [f"{name} is not varied. Add --param {name}." for name in extra]
        raise UsageError(fault_list("The values are invalid:", faults))
    space = _read_space(settings)
    configs = [cell.config for cell in spaces.cells(space, names)]
    n_repeats, limit = _count("--repeats", settings.repeats, GRID_REPEATS), 0
    if settings.until_decided:
        limit = _count("--max-repeats", settings.max_repeats, MAX_REPEATS, least=2)
        if limit > LOOK_EVERY * MOST_LOOKS:
            raise UsageError(
                f"--max-repeats must be at most {LOOK_EVERY * MOST_LOOKS}, but got {limit}. More "
                "repeats would hardly change the answer."
            )
        if settings.repeats is None:
            n_repeats = min(n_repeats, limit)
        elif settings.max_repeats is not None and n_repeats > limit:
            raise UsageError(f"--repeats {n_repeats} is more than --max-repeats {limit}.")
        n_repeats = max(n_repeats, min(LOOK_EVERY, limit))
        limit = max(n_repeats, limit)
    elif settings.max_repeats is not None:
        raise UsageError("--max-repeats needs --until-decided.")
    space = replace(
        space, sweeps={name: space.sweeps[name] for name in names}, search=(), start=()
    )
    return _plan("grid", settings, Goal(n_repeats, most_repeats=limit), space, configs)


def plan_search(names: Sequence[str], settings: Settings) -> Plan:
    """Plan a search over the space, or over the named parameters.

    Raises:
        UsageError: an unknown parameter, sampler or pruner; a number of trials below 1.
        DataError: the data cannot be used.
    """
    space = _read_space(settings)
    if names:
        space = spaces.restrict(space, names)
    if not space.search:
        raise UsageError(f"The space {space.name} has nothing to search: add a [search] table.")
    for option, name, table in (
        ("--sampler", settings.sampler, ("auto", *SAMPLERS)),
        ("--pruner", settings.pruner, PRUNERS),
    ):
        if name not in table:
            raise UsageError(f"{option} must be {either(table)}, but got {name!r}.")
    n_final_repeats = _count("--final-repeats", settings.final_repeats)
    goal = Goal(
        n_repeats=_count("--repeats", settings.repeats, SEARCH_REPEATS),
        n_trials=_count("--trials", settings.trials),
        n_finalists=_count("--finalists", settings.finalists, least=0),
        # The goal of a study only grows: repeats that nobody needs must not stay in it.
        n_final_repeats=n_final_repeats if settings.finalists or settings.with_baselines else 1,
        with_baselines=settings.with_baselines,
        patience=_count("--patience", settings.patience, least=0),
    )
    if settings.sampler == "auto":
        settings = replace(settings, sampler=AUTO)
    plan = _plan("search", settings, goal, replace(space, sweeps={}), [space.base])
    start = settings.start_from and _start(settings.start_from, plan)
    return replace(plan, start=(start,)) if start else plan


def _start(text: str, plan: Plan) -> Mapping[str, Scalar]:
    """Return the best configuration of a study, or #7 for STUDY#7, moved into the ranges."""
    from hpo.storage.opening import open_storage  # These load optuna.
    from hpo.study.gathering import summarize
    from hpo.study.study import open_study

    name, sign, number = text.rpartition("#")
    name = name if sign else text
    url, space = plan.settings.storage, plan.record.space
    study = open_study(open_storage(url, create=False), name)
    summary = summarize(study, compares=False)
    chosen = summary.best
    if sign:
        chosen = summary.numbered.get(int(number[:9])) if number.isdecimal() else None
    if chosen is None:
        what = f"configuration {number[:20] or 'without a number'}" if sign else "complete one yet"
        raise UsageError(f"--start-from {text[:120]}: {summary.name} has no {what}.")
    if chosen.config.signature != space.base.signature:
        raise UsageError(f"--start-from {text[:120]}: {summary.name} has another network.")
    cell = spaces.complete(replace(space, base=chosen.config), {})
    if cell is None:
        raise UsageError(f"--start-from {text[:120]}: The ranges do not fit {chosen.label}.")
    return cell.params


def _plan(
    kind: Kind, settings: Settings, goal: Goal, space: Space, configs: Sequence[TrainingConfig]
) -> Plan:
    """Check a request against the data; `configs` are the configurations known so far."""
    path = None if settings.data is None else Path(settings.data)
    dataset = open_data(path, settings.manifest)
    seal(dataset)  # If there are too few images for folds, this fails first.
    info = describe_data(dataset, path, settings.manifest)
    metric = settings.metric
    score = read_score(default_metric(kind, info.classes) if metric is None else metric)
    space, configs = _for_classes(space, configs, len(dataset.class_names))
    searched = {parameter.name for parameter in space.search}
    points = ({n: label for n, label in p.items() if n in searched} for p in space.start)
    start = [cell.params for p in points if (cell := spaces.complete(space, p))]
    space = replace(space, start=tuple(start))
    space, left_out = _without_large_batches(space, info.n_train)
    if left_out:
        note = f"The search leaves out batch_size {left_out}: there are {info.n_train} training "
        info = replace(info, notes=(*info.notes, f"{note}images."))
    _check_batches(configs, info, space)
    _check_stress(score, [config.image_size for config in configs], space)
    n_trainings = len(configs) * max(goal.n_trainings, goal.most_repeats)
    if n_trainings > MOST_TRIALS:
        raise UsageError(
            f"These are {n_trainings:,} trainings, but the limit of a study is {MOST_TRIALS:,}. "
            "Choose fewer repeats, trials or finalists."
        )
    precision = settings.precision
    if space.code:
        if precision == "bf16":
            raise UsageError(
                "--precision bf16 is only for the built-in network. Custom models use fp32."
            )
        precision = "fp32"
        from hpo.training.custom import open_network

        try:
            open_network(configs[0], space.code)
        except TrainingError as error:
            raise ModelError(str(error)) from error
    record = StudyRecord(
        kind=kind,
        names=tuple(space.sweeps) or tuple(parameter.name for parameter in space.search),
        space=space,
        data=info,
        device=settings.device,
        is_gpu_named=":" in settings.device,
        precision=precision,
        seed=settings.seed,
        sampler="grid" if kind == "grid" else settings.sampler,
        pruner="none" if kind == "grid" else settings.pruner,
        command=mask_command(settings.command),
        versions=versions(),
        metric=score.name,
        window=0 if kind == "grid" else _count("--window", settings.window, WINDOW),
        model=space.code,
    ).judged_by(settings.margin, settings.weights, read_required(settings.require or {}))
    name = record.default_name() if settings.study is None else check_name(settings.study)
    home = study_folder(settings.storage, name)
    if home.is_file() or home == sqlite_path(settings.storage):
        raise UsageError(f"--study cannot be {name!r}: {home} is a file. Choose another name.")
    return Plan(name=name, record=record, goal=goal, dataset=dataset, settings=settings)


def _read_space(settings: Settings) -> Space:
    check_names(settings.device, settings.precision)
    read_lanes(settings.lanes)
    if not 0 <= settings.seed <= _MOST:
        raise UsageError(
            f"--seed must be an integer from 0 to {_MOST:,}, but got {settings.seed}."
        )
    model = None if settings.model is None else models.entry_of(settings.model)
    space = spaces.with_values(spaces.open_space(settings.space, model), settings.values)
    return spaces.override(space, settings.set, epochs=settings.epochs)


def _for_classes(
    space: Space, configs: Sequence[TrainingConfig], n_classes: int
) -> tuple[Space, Sequence[TrainingConfig]]:
    """Return the space and its configurations with one output per class if more than two."""
    is_requested = "outputs" in {*space.pinned, *space.sweeps}
    if n_classes == 2 and all(config.n_outputs <= 2 for config in configs):
        return space, configs
    if n_classes == 2 or (is_requested and any(config.outputs != n_classes for config in configs)):
        takes = "0, 1 or 2" if n_classes == 2 else f"{n_classes}, one for each"
        raise UsageError(f"With {n_classes} classes, outputs must be {takes}. Leave it out.")
    space = spaces.override(space, {"outputs": n_classes})
    return space, [config.replace(outputs=n_classes) for config in configs]


def _without_large_batches(space: Space, n_train: int) -> tuple[Space, str]:
    """Return the space without batches larger than the training set, and the sizes left out.

    Raises:
        UsageError: no batch fits.
    """
    parameters, left_out = [], ""
    for item in space.search:
        if item.name == "batch_size":
            choices = [*map(int, item.labels)] if isinstance(item, spaces.Choices) else []
            lowest = min(choices) if isinstance(item, spaces.Choices) else int(item.low)
            if lowest > n_train:
                raise UsageError(
                    f"The search tries batch_size from {lowest}, but there are only {n_train} "
                    f"training images. Use --set batch_size=N with N at most {n_train}."
                )
            if isinstance(item, spaces.Choices):
                fitting = tuple(n for n in choices if n <= n_train)
                left_out = " and ".join(str(n) for n in choices if n > n_train)
                item = item.model_copy(update={"choices": fitting})
            elif n_train < int(item.high):
                left_out = f"above {n_train}"
                high = n_train - (n_train - lowest) % item.step
                item = item.model_copy(update={"high": high})
        parameters.append(item)
    return replace(space, search=tuple(parameters)), left_out


def _check_batches(configs: Sequence[TrainingConfig], data: DataInfo, space: Space) -> None:
    sizes = sorted({config.batch_size for config in configs})
    fitting = [str(n) for n in sizes if n <= data.n_train]
    if len(fitting) == len(sizes):
        return
    too_large = " and ".join(str(n) for n in sizes if n > data.n_train)
    hint = f"Use --set batch_size=N with N at most {data.n_train}."
    if "batch_size" in space.sweeps:
        allowed = ",".join(fitting) or f"N (at most {data.n_train})"
        hint = f"Leave {too_large} out: batch_size={allowed}"
    raise UsageError(
        f"batch_size cannot exceed the {data.n_train} training images of this data, but is "
        f"{too_large}. {hint}"
    )


def _check_stress(score: Score, sizes: Sequence[int], space: Space) -> None:
    """Refuse a stress score if images are too small for its changes."""
    for parameter in space.search:
        match parameter:
            case spaces.Choices(name="image_size", choices=choices):
                sizes = choices
            case spaces.Range(name="image_size", low=low):
                sizes = [low]
    if score.is_stressed and min(sizes) < SMALLEST_STRESSED:
        raise UsageError(
            f"--metric {score.name} needs images of at least {SMALLEST_STRESSED} x "
            f"{SMALLEST_STRESSED} pixels, but image_size may be {min(sizes)}. Use --set "
            f"image_size=N, or --metric {score.metric}."
        )


def _count(option: str, value: int | None, default: int = 0, *, least: int = 1) -> int:
    number = default if value is None else value
    if not least <= number <= _MOST:
        raise UsageError(
            f"{option} must be an integer from {least} to {_MOST:,}, but got {number}."
        )
    return number
