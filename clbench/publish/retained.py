"""A paper's retained accuracy and backward transfer beside ours: read from TOML, each row answered by several seeds."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import Field

from clbench.compare.collection import Run
from clbench.compare.markup import markdown_escape, pipe
from clbench.compare.panels import NONE
from clbench.errors import ResultsError
from clbench.parameters import Parameters
from clbench.specification import run_hash
from clbench.statistics import mean_interval

METRICS = ("average_accuracy", "backward_transfer_interference")
HEADS = ("method", "paper: RA", "paper: BTI", "RA", "BTI", "seeds", "seconds a seed")


class RetainedRow(Parameters):
    """A method on every stream."""

    name: str
    strategy: str = Field(description="our strategy")
    hyper_parameters: dict[str, Any] = Field(
        {}, description="what tells our variant from others of the strategy"
    )
    paper: dict[str, list[str]] = Field(
        {}, description="retained accuracy and BTI in %, as text, by shift"
    )
    shifts: list[str] | None = Field(None, description="whose tables have the row; none: all")


class Retained(Parameters):
    """A paper's tables, one a shift."""

    source: str
    dataset: str
    shifts: dict[str, str] = Field(
        description="heading of each shift of the domain-incremental stream"
    )
    row: list[RetainedRow]


def read(path: Path) -> Retained:
    """Return a paper's tables.

    Raises:
        UsageError: Something lacks, or is unknown.
    """
    return Retained.parse(tomllib.loads(path.read_text("utf-8")), path.name)


def markdown(paper: Retained, runs: Sequence[Run]) -> str:
    """Return a heading and a pipe table for each stream; ± of ours is half a 95 % t interval over the seeds."""
    blocks = []
    for shift, title in paper.shifts.items():
        lines = [HEADS, ["---", *["---:"] * (len(HEADS) - 1)]]
        for row in paper.row:
            if row.shifts is not None and shift not in row.shifts:
                continue
            told = row.paper.get(shift, [NONE, NONE])
            lines += [[markdown_escape(row.name), *told, *_ours(_answers(paper, row, shift, runs))]]
        blocks += [f"## {title}", "\n".join(map(pipe, lines))]
    return "\n\n".join(blocks)


def _answers(paper: Retained, row: RetainedRow, shift: str, runs: Sequence[Run]) -> list[Run]:
    """Return the seeds of the run that answers a row; none if it is still to be made.

    Raises:
        ResultsError: Several runs do.
    """
    found = []
    for run in runs:
        scenario, strategy = run.specification["scenario"], run.specification["strategy"]
        names = [run.specification["dataset"]["name"], strategy["name"]]
        settings = strategy["hyper_parameters"]
        agrees = all(settings.get(k) == v for k, v in row.hyper_parameters.items())
        if (
            names == [paper.dataset, row.strategy]
            and scenario["options"]["shift"] == shift
            and agrees
        ):
            found.append(run)
    if len({run_hash(run.specification) for run in found}) > 1:
        raise ResultsError(f"{row.name} is answered by several runs; say more of its settings")
    return found


def _ours(runs: Sequence[Run]) -> list[str]:
    if not runs:
        return ["not run", NONE, NONE, NONE]
    cells = []
    for metric in METRICS:
        values = [value for run in runs if (value := run.metric(metric)) is not None]
        mean, half = mean_interval(values)
        cells.append(f"{100 * mean:.2f}" + ("" if half is None else f" ± {100 * half:.2f}"))
    seconds = fmean(run.record["budget"]["train_seconds"] for run in runs)
    return [*cells, str(len(runs)), f"{seconds:.0f}"]
