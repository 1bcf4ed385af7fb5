"""``clbench plot``: pictures of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from clbench.cli.collecting import (
    collected,
    folders_argument,
    interval_option,
    put,
    strict_option,
)
from clbench.errors import UsageError

if TYPE_CHECKING:
    from clbench.pictures.drawing import Format

_FORMATS = ("png", "svg", "pdf")
KINDS = ("matrix", "stream", "tasks", "trade-off", "memory", "learning", "transfer", "cost")
"""Said again here, since `clbench.pictures` is imported only when something is drawn."""


@click.command("plot")
@click.argument("kind", type=click.Choice(KINDS))
@folders_argument
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Write to this file; its suffix, .png, .svg or .pdf, is the format.",
)
@click.option(
    "--against",
    metavar="NAME",
    help="trade-off: forgetting (default) or learning_accuracy; cost: steps (default) or seconds.",
)
@click.option(
    "--width",
    type=click.FloatRange(min=1, max=40),
    default=3.4,
    show_default=True,
    metavar="INCHES",
    help="The default is a journal's column.",
)
@interval_option
@strict_option
def plot_command(**given: Any) -> None:
    r"""Draw the results below the folders (default: $CLBENCH_RESULTS, else results).

    \b
    matrix     accuracy matrices as heat maps
    stream     average accuracy along the stream
    tasks      accuracy of each task along the stream
    trade-off  accuracy against forgetting
    memory     accuracy against the memory's size
    learning   a meta-learner's accuracy along its training episodes
    transfer   change of accuracy on the first task while the last is learnt
    cost       accuracy against steps or seconds

    Only comparable rows share a panel, as in `clbench compare`. See docs/pictures-and-reports.md.
    """
    form = _format(given["output"])
    from clbench.compare.captions import heading
    from clbench.compare.comparability import groups
    from clbench.compare.tables import Settings, compare
    from clbench.pictures.charts import notes
    from clbench.pictures.drawing import draw
    from clbench.pictures.kinds import METRICS, panels

    settings = Settings(METRICS, interval=given["interval"])
    runs = collected(given["folders"], given["strict"]).runs
    tables = compare(groups(runs), settings)
    shown = panels(given["kind"], tables, settings, given["against"])
    put(draw(shown, form, given["width"]), given["output"])
    for line in [*heading(tables), *notes(shown)]:
        click.echo(line, err=True)


def _format(output: Path) -> Format:
    form = output.suffix.lower().removeprefix(".")
    if form not in _FORMATS:
        raise UsageError(f"--output must end in .png, .svg or .pdf, not {output.name!r}")
    return cast("Format", form)
