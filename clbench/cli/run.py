"""``clbench run``: a grid of runs, those already there skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clbench.assignments import parse_assignment, parse_seeds
from clbench.cli.options import complete, load_plugins, plugin_option
from clbench.errors import UsageError

if TYPE_CHECKING:
    from clbench.grid import Cell, Request
    from clbench.runner import Execution

_NAMED = ("order", "init", "train", "memory")


@click.command("run")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    required=True,
    metavar="NAME",
    shell_complete=complete("scenarios"),
    help="Scenario; repeatable. See `clbench list scenarios`.",
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    required=True,
    metavar="NAME",
    shell_complete=complete("strategies"),
    help="Strategy; repeatable. A name, or my.py:MyMethod.",
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    default=("digits",),
    show_default=True,
    metavar="NAME",
    shell_complete=complete("datasets"),
    help="Dataset; repeatable. Also npz:FILE and folder:DIR|ZIP.",
)
@click.option("--seeds", metavar="0-4", help="Seeds, as 0-4 or 0,2,5-7.  [default: 0]")
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
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="CPU threads of a run; recorded, since other counts give other bits.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Results folder.",
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Data folder.  [env: CLBENCH_DATA]"
)
@plugin_option
@click.option("--force", is_flag=True, help="Run again what is already there.")
@click.option("--dry-run", is_flag=True, help="Check everything, run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array instead of tables.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@click.option("-v", "--verbose", is_flag=True, help="Tracebacks and every experience on stderr.")
def run_command(**given: Any) -> int:
    """Run strategies on scenarios and print what they reached.

    A run whose result is there is not run again, so a second call finishes what the first began.
    """
    load_plugins(given["plugins"])
    from clbench import results
    from clbench.grid import build
    from clbench.runner import Execution, choose_device

    request = _request(given)
    execution = Execution(choose_device(given["device"]), request.data_dir, given["threads"])
    cells = build(request, given["results"], given["force"])
    if not given["dry_run"]:
        results.check_writable(given["results"])
        _run_all(cells, execution, given)
    if given["as_json"]:
        click.echo(json.dumps([cell.summary() for cell in cells], indent=1, ensure_ascii=False))
    elif given["dry_run"]:
        for cell in cells:
            click.echo(f"{cell.status:8}{cell.path}" + (f"  {cell.reason}" if cell.reason else ""))
    else:
        from clbench.present import tables

        click.echo(tables(cells))
    return 1 if any(cell.status == "failed" for cell in cells) else 0


def _request(given: dict[str, Any]) -> Request:
    from clbench.grid import Request

    if given["seed"] is not None and given["seeds"] is not None:
        raise UsageError("give --seed or --seeds, not both")
    typed = given["seed"] or given["seeds"] or "0"
    named = {name: given[f"{name}_seeds"] for name in _NAMED}
    return Request(
        datasets=given["datasets"],
        scenarios=given["scenarios"],
        strategies=given["strategies"],
        seeds=parse_seeds(typed, "--seed" if given["seed"] else "--seeds"),
        options=[parse_assignment(text, "-S") for text in given["options"]],
        hyper_parameters=[parse_assignment(text, "-s") for text in given["hyper_parameters"]],
        named_seeds={
            name: parse_seeds(text, f"--{name}-seeds") for name, text in named.items() if text
        },
        data_dir=given["data_dir"],
    )


def _run_all(cells: list[Cell], execution: Execution, given: dict[str, Any]) -> None:
    """Run every planned cell and store its record as soon as it is there."""
    from clbench import results
    from clbench.cli.progress import Display
    from clbench.runner import run_one

    planned = [cell for cell in cells if cell.status == "planned"]
    display = Display(cells, quiet=given["quiet"], verbose=given["verbose"])
    for cell in planned:
        with display.run(cell) as progress:
            cell.record = run_one(cell.specification, execution, progress)
            cell.status = cell.record["status"]
            if cell.status == "failed":
                cell.reason = " ".join(cell.record["error"]["message"].split())
            results.write(cell.path, cell.record, given["results"])
