"""Running a grid: the one way of `clbench run`, `clbench tune` and `clbench.run`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from clbench import results
from clbench.captured import uncaptured_because
from clbench.compiled import compiler_missing, uncompiled_because
from clbench.configuration import Configuration, Grid
from clbench.display import Display
from clbench.errors import UsageError
from clbench.executor import InProcess, Workers
from clbench.expansion import expand
from clbench.grid import Cell, build
from clbench.parameters import Parameters, PositiveInt
from clbench.plugins import load_plugins
from clbench.runner import Execution, choose_device
from clbench.specify import strategy_class
from clbench.sweep import Job, grouped, sweep


class Call(Parameters):
    """How and where runs happen; none of it is part of what a run is."""

    noun: ClassVar[str] = "argument"
    list_hint: ClassVar[str] = ""

    device: str = "auto"
    threads: PositiveInt = 1
    jobs: PositiveInt = 1
    """Worker processes."""
    together: PositiveInt = 1
    """Seeds of a specification whose networks learn as one stack, where the strategy can."""
    capture: bool = False
    """Training steps as CUDA graphs, where the strategy can."""
    compile: bool = False
    """Methods of the network compiled by torch, where the strategy names some."""
    results: Path = Path("results")
    data_dir: Path | None = None
    plugins: tuple[str, ...] = Field(())
    force: bool = False
    """Run again what is already there."""
    quiet: bool = False
    verbose: bool = False


def plan(configuration: Configuration, said: Grid, call: Call) -> list[Cell]:
    """Return every run that is asked for, each checked and found, skipped or planned; nothing is run or written.

    Args:
        configuration: From a file, or an empty one.
        said: What is said beside it, and wins over it.
        call: How the runs will happen.

    Raises:
        UsageError: A name, option, value or plug-in is wrong, or nothing is left to run.
        DataError: A dataset is missing or damaged.
    """
    load_plugins(call.plugins)
    requests = expand(configuration, said)
    device = choose_device(call.device)  # a wrong one is refused before any data are read
    if call.capture and not device.startswith("cuda"):
        raise UsageError(f"--capture is for a CUDA device, and this is {device}; leave it out")
    for other, given in (("--capture", call.capture), ("--together", call.together > 1)):
        if call.compile and given:
            raise UsageError(f"--compile and {other} do not go together; leave one out")
    cells = build(requests, call.results, call.data_dir, call.force)
    if call.compile and device == "cpu":
        _check_compiler(cells)
    return cells


def _check_compiler(cells: list[Cell]) -> None:
    """Raise UsageError if something is to be compiled that cannot be."""
    names = {c.specification["strategy"]["name"] for c in cells if c.status == "planned"}
    missing = compiler_missing()
    if missing and any(uncompiled_because(strategy_class(name)[0]) is None for name in names):
        raise UsageError(
            f"--compile needs a C++ compiler, and {missing} is not here; install it, name another"
            " by the environment variable CXX, or leave --compile out"
        )


def run_all(cells: list[Cell], call: Call) -> None:
    """Run every planned cell and note how it ended, with progress on stderr.

    Args:
        cells: From `plan`.
        call: The same.

    Raises:
        ResultsError: The results folder cannot be written to.
    """
    results.check_writable(call.results)
    device = choose_device(call.device)
    execution = Execution(device, call.data_dir, call.threads, call.capture, call.compile)
    planned = [cell for cell in cells if cell.status == "planned"]
    results.sweep(call.results)
    now = time.time()
    jobs = [
        Job(cell.specification, cell.path, call.results, execution, now if cell.anew else None)
        for cell in planned
    ]
    groups, alone = grouped(jobs, call.together)
    cell_at = {cell.path: cell for cell in planned}
    planned = [cell_at[job.path] for group in groups for job in group]  # as `sweep` counts them
    display = Display(planned, quiet=call.quiet, verbose=call.verbose)
    found = sum(cell.status == "found" for cell in cells)
    if found:
        display.say(f"{found} of {len(cells)} results are there already.")
    if device == "cpu" and any(len(group) > 1 for group in groups):
        display.say("--together is for a GPU: on a CPU, --jobs is faster.")
    for name, reason in alone.items():
        display.say(f"{name} runs one seed after the other: {reason}.")
    for name, reason in _refused(jobs, call).items():
        display.say(f"{name} takes its steps one operation at a time: {reason}.")
    workers = min(call.jobs, len(groups))
    executor = Workers(workers, load_plugins, call.plugins) if workers > 1 else InProcess()
    try:
        for number, done in sweep(groups, executor, display):
            cell = planned[number]
            cell.status, cell.record = done.status, done.record
            if done.status == "failed" and done.record is not None:
                cell.reason = " ".join(done.record["error"]["message"].split())
            display.ended(number, cell)
    finally:
        display.close()


def _refused(jobs: list[Job], call: Call) -> dict[str, str]:
    """Return the strategies whose steps are to be captured or compiled and cannot be, and why."""
    if not call.capture and not call.compile:
        return {}
    because = uncaptured_because if call.capture else uncompiled_because
    names = dict.fromkeys(job.specification["strategy"]["name"] for job in jobs)
    reasons = {name: because(strategy_class(name)[0]) for name in names}
    return {name: reason for name, reason in reasons.items() if reason is not None}
