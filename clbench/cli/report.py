"""``clbench report``: everything below some folders in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


@click.command("report")
@folders_argument
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="report.html",
    show_default=True,
    help="Write to this file, whole or not at all.",
)
@metric_option
@baseline_option
@interval_option
@strict_option
def report_command(**given: Any) -> None:
    """Write one HTML file about the results below the folders (default: $CLBENCH_RESULTS, else results).

    Tables, pictures, every specification with its command. The file needs no network and no server.
    """
    from clbench.compare.scores import DEFAULT_METRICS
    from clbench.compare.tables import Settings, with_companions
    from clbench.report.document import report

    metrics = with_companions(given["metrics"] or DEFAULT_METRICS)
    settings = Settings(metrics, given["baseline"], given["interval"])
    put(report(collected(given["folders"], given["strict"]), settings), given["output"])
