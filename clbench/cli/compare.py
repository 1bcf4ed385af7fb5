"""``clbench compare``: results of any number of runs in tables of comparable rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clbench.cli.collecting import (
    baseline_option,
    collected,
    folders_argument,
    interval_option,
    metric_option,
    put,
    strict_option,
)
from clbench.cli.options import load_plugins, plugin_option, table_width

if TYPE_CHECKING:
    from clbench.compare.tables import Settings, Table


@click.command("compare")
@folders_argument
@metric_option
@baseline_option
@interval_option
@click.option(
    "--forgetting-as",
    "libraries",
    multiple=True,
    type=click.Choice(["avalanche", "mammoth", "continuum", "pycil"]),
    help="Also show the forgetting this library would print; repeatable.",
)
@click.option(
    "--variance", is_flag=True, help="Split the variance due to the class order from the rest."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["table", "markdown", "latex", "csv", "json"]),
    default="table",
    show_default=True,
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write to this file, whole or not at all."
)
@strict_option
@plugin_option
def compare_command(**given: Any) -> None:
    """Compare the results below the folders (default: $CLBENCH_RESULTS, else results).

    Only comparable rows share a table. docs/comparing.md says which, and how to read the numbers.
    """
    load_plugins(given["plugins"])
    from clbench.compare.comparability import groups
    from clbench.compare.tables import compare

    settings = _settings(given)
    collection = collected(given["folders"], given["strict"])
    tables = compare(groups(collection.runs), settings)
    text = _format(given["kind"], given["output"])(tables, settings)
    if given["output"] is None:
        click.echo(text, nl=False)
    else:
        put(text, given["output"])


def _settings(given: dict[str, Any]) -> Settings:
    from clbench.compare.scores import DEFAULT_METRICS
    from clbench.compare.tables import Settings, with_companions
    from clbench.dialects import DIALECTS

    asked = given["metrics"] or DEFAULT_METRICS
    metrics = with_companions([*asked, *(DIALECTS[name].name for name in given["libraries"])])
    return Settings(metrics, given["baseline"], given["interval"], given["variance"])


def _format(kind: str, output: Path | None) -> Callable[[Sequence[Table], Settings], str]:
    from clbench.compare import markup, text, tidy

    if kind == "table" and output is None:
        return lambda tables, settings: text.terminal(tables, settings, table_width())
    return {
        "table": text.terminal,
        "markdown": markup.markdown,
        "latex": markup.latex,
        "csv": lambda tables, _: tidy.to_csv(tables),
        "json": tidy.to_json,
    }[kind]
