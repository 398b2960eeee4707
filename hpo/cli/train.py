"""The commands that train. This module is light to import: `hpo.cli.work` does the work."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option

from hpo.choices import AUTO, N_FINAL_REPEATS, N_FINALISTS, N_TRIALS, Pruner, Sampler
from hpo.cli import options
from hpo.cli.commands import complete_study
from hpo.cli.output import print_line
from hpo.modules import command


def _settings(given: dict[str, Any], context: typer.Context) -> dict[str, Any]:
    """Return the options of `options.trains` as fields of `hpo.run.plan.Settings`."""
    pairs = options.read_pairs("--set", given.pop("set_") or [])
    data, manifest = options.read_data_options(given)
    command = options.command_line(context)
    return given | {"data": data, "manifest": manifest, "set": pairs, "command": command}


@options.trains
@options.shows
def grid(
    context: typer.Context,
    of_training: dict[str, Any],
    of_output: dict[str, Any],
    names: options.Names = None,
    param: options.Params = None,
    values: options.Values = None,
    until_decided: Annotated[
        bool,
        Option(
            "--until-decided",
            help="Add five repeats at a time until every pair of values is decided.",
        ),
    ] = False,
    max_repeats: Annotated[
        int | None, Option(help="Most repeats of --until-decided (default: 20)")
    ] = None,
    weights: options.ComparedWeights = None,
    test: Annotated[
        bool,
        Option(
            "--test", help="Evaluate on the test set when the sweep is finished. This is recorded."
        ),
    ] = False,
) -> None:
    """Sweep a hyperparameter over its prescribed values, with several repeats of each.

    Several names run every combination. The same command run again trains nothing; with a larger
    --repeats it trains only the missing repeats.

    Examples:

        hpo grid batch_size --data chest_xray --until-decided

        hpo grid batch_size --data chest_xray --repeats 3 --epochs 10

        hpo grid learning_rate=0.01,0.001 dropout --set batch_size=64

        hpo grid --param learning_rate --values 0.01,0.001

        hpo grid channels --model cnn.py:cnn
    """
    from hpo.run.plan import Settings, plan_grid

    varied, texts = options.read_names([*(names or []), *(param or [])], values or [])
    settings = Settings(
        **_settings(of_training, context),
        values=options.read_values(texts, varied),
        until_decided=until_decided,
        max_repeats=max_repeats,
        weights=weights,
    )
    plan = plan_grid(varied, settings)
    from hpo.cli.work import carry_out

    carry_out(plan, test=test, **of_output)


@options.trains
@options.shows
def search(
    context: typer.Context,
    of_training: dict[str, Any],
    of_output: dict[str, Any],
    names: options.Names = None,
    param: options.Params = None,
    trials: Annotated[int, Option(help="Total number of configurations to try.")] = N_TRIALS,
    patience: Annotated[
        int,
        Option(
            help="Stop after this number of configurations in a row without an improvement (0: "
            "never)."
        ),
    ] = 0,
    sampler: Annotated[
        Literal["auto", Sampler],
        Option(
            help="How configurations are chosen: tpe, gp (a Gaussian process), random, or qmc (a "
            f"Sobol sequence); auto means {AUTO}, and tpe after 150 configurations."
        ),
    ] = "auto",
    start_from: Annotated[
        str | None,
        Option(
            metavar="STUDY[#N]",
            help="Try the best configuration of another study, or its configuration N, after the "
            "base; numbers outside the ranges are moved into them.",
            autocompletion=complete_study,
        ),
    ] = None,
    pruner: Annotated[
        Pruner, Option(help="Stop trainings that fall behind the median (none: never).")
    ] = "median",
    finalists: Annotated[
        int, Option(help="Number of top configurations to retrain at the end.")
    ] = N_FINALISTS,
    final_repeats: Annotated[
        int, Option(help="Number of new trainings of each finalist.")
    ] = N_FINAL_REPEATS,
    require: Annotated[
        list[str] | None,
        Option(
            metavar="METRIC=SHARE",
            help="Lowest validation sensitivity or specificity for a winner, such as "
            "sensitivity=0.95; measured under stress if the metric is. Repeatable.",
        ),
    ] = None,
    with_baselines: Annotated[
        bool, Option("--with-baselines", help="Also train the networks of the five reports.")
    ] = False,
    window: Annotated[
        int | None,
        Option(
            help="Number of configurations in progress at once (default: 6). It affects which "
            "configurations are tried, unlike --lanes; a larger one keeps more cores busy."
        ),
    ] = None,
) -> None:
    """Search for the best hyperparameters, starting from the base configuration.

    At the end the best configurations are retrained with new seeds and, if the data have no
    validation split, on other folds; this determines the winner. The same command with a larger
    --trials continues the search. Names restrict the search to these hyperparameters.

    Examples:

        hpo search --trials 50 --data chest_xray

        hpo search learning_rate batch_size --trials 20 --epochs 10
    """
    from hpo.run.plan import Settings, plan_search

    settings = Settings(
        **_settings(of_training, context),
        trials=trials,
        patience=patience,
        sampler=sampler,
        start_from=start_from,
        require=options.read_pairs("--require", require) if require else None,
        pruner=pruner,
        finalists=finalists,
        final_repeats=final_repeats,
        with_baselines=with_baselines,
        window=window,
    )
    plan = plan_search([*(names or []), *(param or [])], settings)
    from hpo.cli.work import carry_out

    carry_out(plan, **of_output)


@options.continues
@options.shows
def resume(
    study: options.StudyArgument,
    of_training: dict[str, Any],
    of_output: dict[str, Any],
    data: options.MovedData = None,
    weights: options.ComparedWeights = None,
) -> None:
    """Continue an interrupted study with its original settings.

    Examples:

        hpo resume latest

        hpo resume STUDY --timeout 3600
    """
    from hpo.cli.work import carry_out
    from hpo.run.plan import Settings
    from hpo.run.session import plan_resume

    settings = Settings(**of_training, data=data, weights=weights)
    carry_out(plan_resume(study, settings), **of_output)


def demo(
    folder: Annotated[
        Path, Argument(metavar="[DIR]", help="Folder for the images and the studies.")
    ] = Path("demo"),
    seed: Annotated[int, Option(metavar="N", min=0, help="Seed of the images and trainings.")] = 0,
) -> None:
    """Demonstrate hpo on synthetic X-rays: a sweep, a search, and the test of the winner.

    It prints each command before running it, and takes one to two minutes. A second run reuses
    the results.

    Example:

        hpo demo
    """
    phantom, storage = str(folder / "phantom"), f"sqlite:///{folder / 'hpo.db'}"
    common = ["--epochs", "30", "--set", "image_size=32", "--seed", str(seed)]
    common += ["--data", phantom, "--storage", storage]
    commands = [
        ["grid", "learning_rate=0.00001,0.001", "--set", "align=template", *common],
        ["search", "--trials", "15", *common],
        ["evaluate", "latest", "--storage", storage],
    ]
    if not Path(phantom).exists():
        commands.insert(0, ["data", "generate", phantom, "--seed", str(seed)])
    for words in commands:
        print_line(f"$ {shlex.join(['hpo', *words])}", style="bold")
        sys.stdout.flush()
        done = subprocess.run(command("hpo.cli", *words), env=os.environ | {"PYTHONPATH": ""})
        if done.returncode:
            raise typer.Exit(done.returncode)
