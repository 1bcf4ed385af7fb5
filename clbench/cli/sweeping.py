"""Running the cells of a grid for a command: executor, progress, and how each ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from clbench.cli.options import load_plugins

if TYPE_CHECKING:
    from clbench.grid import Cell
    from clbench.runner import Execution


def run_all(cells: list[Cell], execution: Execution, given: dict[str, Any]) -> None:
    """Run every planned cell and note how it ended.

    Args:
        cells: From `clbench.grid.build`.
        execution: Where.
        given: The options of `execution_options`, and ``force``.
    """
    from clbench import results
    from clbench.cli.progress import Display
    from clbench.executor import InProcess, Workers
    from clbench.sweep import Job, grouped, sweep

    planned = [cell for cell in cells if cell.status == "planned"]
    display = Display(planned, quiet=given["quiet"], verbose=given["verbose"])
    found = sum(cell.status == "found" for cell in cells)
    if found:
        display.say(f"{found} of {len(cells)} results are there already.")
    results.sweep(given["results"])
    stale = time.time() if given["force"] else None
    jobs = [
        Job(cell.specification, cell.path, given["results"], execution, stale) for cell in planned
    ]
    groups, alone = grouped(jobs, given["together"])
    for name, reason in alone.items():
        display.say(f"{name} runs one seed after the other: {reason}.")
    workers = min(given["jobs"], len(groups))
    executor = Workers(workers, load_plugins, given["plugins"]) if workers > 1 else InProcess()
    try:
        for number, done in sweep(groups, executor, display):
            cell = planned[number]
            cell.status, cell.record = done.status, done.record
            if done.status == "failed" and done.record is not None:
                cell.reason = " ".join(done.record["error"]["message"].split())
            display.ended(number, cell)
    finally:
        display.close()
