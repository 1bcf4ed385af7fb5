"""``clbench run``: a grid of runs, those already there skipped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import click
from click.core import ParameterSource

from clbench.assignments import parse_assignment, parse_seeds
from clbench.cli.options import (
    begin,
    call_of,
    complete,
    complete_configuration,
    execution_options,
    table_width,
)
from clbench.errors import UsageError
from clbench.precision import Precision

if TYPE_CHECKING:
    from clbench.configuration import Configuration, Grid


def _use(context: click.Context, _: click.Parameter, name: str | None) -> Configuration | None:
    """Load the configuration, whose own settings of a call are defaults to the environment and what is typed."""
    if name is None or context.resilient_parsing:
        return None
    from clbench.configuration import load

    configuration = load(name)
    context.default_map = dict(configuration.running)
    return configuration


@click.command("run")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    shell_complete=complete("scenarios"),
    help="Scenario; repeatable. See `clbench list scenarios`.",
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME",
    shell_complete=complete("strategies"),
    help="Strategy; repeatable. A name, or my.py:MyMethod.",
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="NAME",
    shell_complete=complete("datasets"),
    help="Dataset; repeatable. Also npz:FILE and folder:DIR|ZIP.  [default: digits]",
)
@click.option(
    "--config",
    "configuration",
    metavar="NAME|FILE.toml",
    is_eager=True,
    callback=_use,
    shell_complete=complete_configuration,
    help="Run the grids of a configuration (`clbench list configs`) or of your own file; --scenario"
    " and --strategy then select among its own, all other options win over it.",
)
@click.option(
    "--seeds",
    metavar="0-4",
    envvar="CLBENCH_SEEDS",
    show_envvar=True,
    help="Seeds, as 0-4 or 0,2,5-7.  [default: 0]",
)
@click.option("--seed", "seed", metavar="N", help="A single seed.")
@click.option("--order-seeds", metavar="0-4", help="Seeds of class order and splits, crossed.")
@click.option("--init-seeds", metavar="0-4", help="Seeds of initialisation, crossed.")
@click.option("--train-seeds", metavar="0-4", help="Seeds of training, crossed.")
@click.option("--memory-seeds", metavar="0-4", help="Seeds of the memory, crossed.")
@click.option(
    "-s",
    "--set",
    "hyper_parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Hyper-parameter as TOML value, for every strategy that has it; NAME.KEY=VALUE for one.",
)
@click.option(
    "-S",
    "--scenario-set",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Scenario option as TOML value, for every scenario that has it; NAME.KEY=VALUE for one.",
)
@click.option(
    "--eval-every",
    type=click.IntRange(min=1),
    metavar="STEPS",
    help="Evaluate while learning, too, every so many steps; adds the any-time metrics.",
)
@click.option(
    "--eval-samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Test samples of each task for --eval-every.  [default: all]",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    help="Of forward passes: bf16 is mixed precision, part of what a run is.  [default: float32]",
)
@execution_options
@click.option("--force", is_flag=True, help="Run again what is already there.")
@click.option("--dry-run", is_flag=True, help="Check everything, run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array instead of tables.")
def run_command(**given: Any) -> int:
    """Run strategies on scenarios and print what they reached.

    A run whose result is there is not run again, so a second call finishes what the first began.
    """
    begin(given)
    from clbench.configuration import Configuration
    from clbench.running import plan, run_all

    configuration = given["configuration"] or Configuration()
    call = call_of(given, (*configuration.plugins, *given["plugins"]))
    cells = plan(configuration, _typed(given), call)
    if not given["dry_run"]:
        run_all(cells, call)
    if given["as_json"]:
        click.echo(json.dumps([cell.summary() for cell in cells], indent=1, ensure_ascii=False))
    elif given["dry_run"]:
        for cell in cells:
            click.echo(f"{cell.status:8}{cell.path}" + (f"  {cell.reason}" if cell.reason else ""))
    else:
        from clbench.present import tables

        click.echo(tables(cells, table_width()))
    return 1 if any(cell.status == "failed" for cell in cells) else 0


def _typed(given: dict[str, Any]) -> Grid:
    """Return what the command line and the environment say of the grids."""
    from clbench.configuration import Grid

    said: dict[str, Any] = {
        "scenario": list(given["scenarios"]),
        "strategy": list(given["strategies"]),
        "dataset": list(given["datasets"]),
        "options": dict(parse_assignment(text, "-S") for text in given["options"]),
        "hyper_parameters": dict(
            parse_assignment(text, "-s") for text in given["hyper_parameters"]
        ),
        "seeds": _seeds(given),
        "eval_every": given["eval_every"],
        "eval_samples": given["eval_samples"],
        "precision": given["precision"],
    }
    for key in ("order_seeds", "init_seeds", "train_seeds", "memory_seeds"):
        if given[key] is not None:
            said[key] = parse_seeds(given[key], f"--{key.replace('_', '-')}")
    return Grid.parse({key: value for key, value in said.items() if value}, "the command line")


def _seeds(given: dict[str, Any]) -> list[int] | None:
    """Return the seeds of ``--seed``, else of ``--seeds`` or the environment; None if there are none."""
    if given["seed"] is None:
        return None if given["seeds"] is None else parse_seeds(given["seeds"])
    source = click.get_current_context().get_parameter_source("seeds")
    if source is ParameterSource.COMMANDLINE:
        raise UsageError("give --seed or --seeds, not both")
    return parse_seeds(given["seed"], "--seed")
