"""What the commands that read results have in common: which folders, what was left out, where the answer goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clbench.cli.options import Folder
from clbench.errors import ResultsError
from clbench.words import counted

if TYPE_CHECKING:
    from clbench.compare.collection import Collection

folders_argument = click.argument(
    "folders",
    nargs=-1,
    type=Folder(),
    metavar="[DIR]...",
    default=lambda: [os.environ.get("CLBENCH_RESULTS") or "results"],
)
metric_option = click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Metric; repeatable. See `clbench list metrics`.  [default: average_accuracy, forgetting,"
    " learning_accuracy]",
)
baseline_option = click.option(
    "--baseline", metavar="NAME", help="Strategy (or row) that all others are tested against."
)
strict_option = click.option(
    "--strict", is_flag=True, help="Fail if a JSON file below the folders is not a result."
)
interval_option = click.option(
    "--interval",
    type=click.Choice(["t", "bootstrap", "iqm"]),
    default="t",
    show_default=True,
    help="t: mean, 95 % t interval; bootstrap: mean, percentile bootstrap; iqm: interquartile mean,"
    " percentile bootstrap.",
)


def collected(folders: Sequence[Path], strict: bool) -> Collection:
    """Return the runs below the folders and say on stderr what was left out.

    Raises:
        ResultsError: There are none, or, with ``strict``, something was left out.
    """
    from clbench.compare.collection import collect

    collection = collect(folders)
    _report(collection)
    if strict and collection.ignored:
        raise ResultsError(f"--strict: {counted(len(collection.ignored), 'JSON file')} left out")
    return collection


def _report(collection: Collection) -> None:
    for sentence in collection.ignored:
        click.echo(f"Left out {sentence}", err=True)
    if collection.ignored:
        click.echo(f"Left out {counted(len(collection.ignored), 'JSON file')} in all.", err=True)
    if collection.repeated:
        told = counted(collection.repeated, "run")
        click.echo(f"Found more than once and counted once, the newest: {told}.", err=True)
    if collection.contradicting:
        told = counted(collection.contradicting, "run")
        click.echo(f"Of these, files with different numbers: {told}.", err=True)


def put(content: str | bytes, output: Path) -> None:
    """Write the whole file or none.

    Raises:
        ResultsError: It cannot be written.
    """
    from clbench.results import written_whole

    if output.exists() and not output.is_file():
        raise ResultsError(f"cannot write {output}: it is not a regular file")
    target = output.resolve()
    with written_whole(target, target.parent) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
