"""``python -m tests.benchmarks [ROW]…``: measure the rows and print them as a table."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from clbench.provenance import provenance
from tests.benchmarks import (
    avalanche_loop,
    evaluation,
    gpu,
    loop,
    memory,
    mer,
    metanet,
    peak,
    process,
    scale,
    table,
)
from tests.benchmarks.measure import Settings
from tests.benchmarks.row import outcome
from tests.benchmarks.split import one_thread

MODULES = (loop, avalanche_loop, mer, metanet, evaluation, memory, process, peak, gpu, scale)
ROWS = {row.name: row for module in MODULES for row in module.ROWS}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(ROWS)), metavar="[ROW]...")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--quick", is_flag=True, help="Tiny sizes: whether it runs, not how fast.")
@click.option("--output", type=click.Path(path_type=Path), help="Also write FILE.json or FILE.md.")
def main(names: tuple[str, ...], repeats: int, quick: bool, output: Path | None) -> None:
    """Measure the rows (all, if none is named) and print them as a table; exit code 1 if one fails."""
    if output is not None and output.suffix not in (".json", ".md"):
        raise click.BadParameter(f"{output} must end in .json or .md", param_hint="--output")
    if output is not None and not output.parent.is_dir():
        raise click.BadParameter(f"there is no folder {output.parent}", param_hint="--output")
    warnings.simplefilter("ignore")  # Avalanche's
    one_thread()
    started, load = datetime.now(UTC), os.getloadavg()
    settings, outcomes = Settings(repeats, quick), []
    for name in names or ROWS:
        click.echo(f"{name} …", err=True)
        outcomes.append(outcome(ROWS[name], settings))
    machine = provenance("cpu", 1, started, (datetime.now(UTC) - started).total_seconds())
    machine["command"] = " ".join(["python -m tests.benchmarks", *sys.argv[1:]])
    with suppress(PackageNotFoundError):  # its rows say so
        machine["packages"]["avalanche-lib"] = version("avalanche-lib")
    machine |= {"cores": os.cpu_count(), "load_at_start": [round(value, 2) for value in load]}
    text = table.markdown(outcomes, machine, quick)
    click.echo(text, nl=False)
    if output is not None:
        content = text if output.suffix == ".md" else table.document(outcomes, machine, quick)
        output.write_text(content, "utf-8")
    if any(outcome.failed for outcome in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    main()
