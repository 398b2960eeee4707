"""The commands that train. They are light to import: the work is in `work`."""

from typing import Annotated, Literal

import typer

from hpo.cli.command_line import command_line
from hpo.cli.options import (
    DataOption,
    DeviceOption,
    DryRunOption,
    EpochsOption,
    JsonOption,
    LanesOption,
    MetricOption,
    MovedDataOption,
    PrecisionOption,
    QuietOption,
    RepeatsOption,
    SeedOption,
    SetOption,
    SpaceOption,
    StorageOption,
    StudyArgument,
    StudyOption,
    ValuesOption,
)
from hpo.errors import UsageError
from hpo.option_texts import read_lanes, read_pairs, read_values
from hpo.storage.url import DEFAULT_URL

ParamsOption = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME", help="The hyperparameter to vary. Repeatable."),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", help="Stop starting new trainings after this many seconds."),
]


def grid(
    context: typer.Context,
    param: ParamsOption = None,
    values: ValuesOption = None,
    set_: SetOption = None,
    repeats: RepeatsOption = None,
    epochs: EpochsOption = None,
    data: DataOption = None,
    space: SpaceOption = "chest_xray",
    study: StudyOption = None,
    storage: StorageOption = DEFAULT_URL,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    lanes: LanesOption = "auto",
    metric: MetricOption = None,
    timeout: TimeoutOption = None,
    test: Annotated[
        bool,
        typer.Option("--test", help="Open the sealed test once the sweep is complete."),
    ] = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run the prescribed sweep of a hyperparameter, each value with repeats.

    Several --param run every combination. The same command again trains nothing; with more
    --repeats it trains what is missing.

    Examples:

        hpo grid --param batch_size

        hpo grid --param batch_size --data chest_xray --repeats 3 --epochs 10

        hpo grid --param learning_rate --values 0.01,0.001 --set batch_size=64
    """
    _refuse_arguments(context)
    from hpo.run.plan import Settings, plan_grid, with_timeout

    names = param or []
    settings = Settings(
        data=data,
        space=space,
        set=read_pairs("--set", set_ or []),
        values=read_values(values or [], names),
        study=study,
        storage=storage,
        repeats=repeats,
        epochs=epochs,
        seed=seed,
        device=device,
        precision=precision,
        lanes=read_lanes(lanes),
        metric=metric,
        command=command_line(context),
    )
    plan = with_timeout(plan_grid(names, settings), timeout)
    from hpo.cli import work

    work.carry_out(plan, work.Flags(dry_run=dry_run, json=json, quiet=quiet, test=test))


def search(
    context: typer.Context,
    trials: Annotated[
        int, typer.Option("--trials", help="Configurations of the study in all.")
    ] = 50,
    param: ParamsOption = None,
    set_: SetOption = None,
    sampler: Annotated[Literal["tpe", "random"], typer.Option("--sampler")] = "tpe",
    pruner: Annotated[
        Literal["median", "none"],
        typer.Option("--pruner", help="End trainings that are behind the median, or none."),
    ] = "median",
    repeats: RepeatsOption = None,
    epochs: EpochsOption = None,
    data: DataOption = None,
    space: SpaceOption = "chest_xray",
    study: StudyOption = None,
    storage: StorageOption = DEFAULT_URL,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    lanes: LanesOption = "auto",
    metric: MetricOption = None,
    finalists: Annotated[
        int,
        typer.Option("--finalists", help="Number of top configurations to retrain at the end."),
    ] = 5,
    final_repeats: Annotated[
        int,
        typer.Option("--final-repeats", help="Number of new trainings of each finalist."),
    ] = 5,
    with_baselines: Annotated[
        bool,
        typer.Option("--with-baselines", help="Train the bases of the five reports beside it."),
    ] = False,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            help="Most configurations under way at a time, 6 by default. It decides the course "
            "of the search, --lanes does not; a wider one keeps more cores busy.",
            show_default=False,
        ),
    ] = None,
    timeout: TimeoutOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Search the open space of hyperparameters, the base configuration first.

    At the end the best few are retrained with new seeds and, where the data have no validation
    split, on other folds: that names the winner. The same command with more --trials goes on.
    --param restricts the search to these.

    Examples:

        hpo search --trials 50 --data chest_xray

        hpo search --trials 20 --param learning_rate --param batch_size --epochs 10
    """
    _refuse_arguments(context)
    from hpo.run.plan import SearchSettings, Settings, plan_search, with_timeout

    settings = Settings(
        data=data,
        space=space,
        set=read_pairs("--set", set_ or []),
        study=study,
        storage=storage,
        repeats=repeats,
        epochs=epochs,
        seed=seed,
        device=device,
        precision=precision,
        lanes=read_lanes(lanes),
        metric=metric,
        command=command_line(context),
    )
    search_settings = SearchSettings(
        trials=trials,
        sampler=sampler,
        pruner=pruner,
        finalists=finalists,
        final_repeats=final_repeats,
        with_baselines=with_baselines,
        window=window,
    )
    plan = with_timeout(plan_search(param or [], settings, search_settings), timeout)
    from hpo.cli import work

    work.carry_out(plan, work.Flags(dry_run=dry_run, json=json, quiet=quiet))


def resume(
    study: StudyArgument,
    data: MovedDataOption = None,
    storage: StorageOption = DEFAULT_URL,
    lanes: LanesOption = "auto",
    timeout: TimeoutOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Continue an interrupted study, with the settings it was created with."""
    from hpo.cli import work
    from hpo.run.plan import with_lanes, with_timeout
    from hpo.run.session import move_data, plan_resume

    n_lanes = read_lanes(lanes)
    if data is not None:
        move_data(study, storage, data)
    plan = with_lanes(with_timeout(plan_resume(study, storage), timeout), n_lanes)
    work.carry_out(plan, work.Flags(dry_run=dry_run, json=json, quiet=quiet))


def _refuse_arguments(context: typer.Context) -> None:
    """Refuse what is no option: most often a hyperparameter without its --param."""
    if context.args:
        command, first = f"hpo {context.info_name}", context.args[0][:60]
        raise UsageError(
            f"{command} takes options only, but got {first!r}. Use --param NAME: `{command} "
            f"--param {first}`"
        )
