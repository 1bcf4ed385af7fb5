"""A paper's few-shot numbers beside ours: read from TOML, each row answered by one run over many episodes."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from clbench.compare.collection import Run
from clbench.compare.markup import markdown_escape, pipe
from clbench.compare.panels import NONE
from clbench.errors import ResultsError
from clbench.parameters import Parameters


class Answered(Parameters):
    """A row of a paper, and which of our runs answers it."""

    name: str
    strategy: str = Field(description="our strategy")
    hyper_parameters: dict[str, Any] = Field(
        {}, description="what tells our variant from others; default: left out of its specification"
    )
    options: dict[str, Any] = Field(description="scenario options that tell the run from others")


class FewShotRow(Answered):
    """A number of the paper."""

    paper: float | None = Field(None, description="accuracy in %; none where the paper has none")


class FewShotTable(Parameters):
    """Rows under one heading."""

    title: str
    row: list[FewShotRow]


class FewShotPaper(Parameters):
    """Tables of a paper."""

    source: str
    dataset: str
    part: list[FewShotTable]


HEADS = ("method", "paper", "ours", "test episodes", "training episodes", "training minutes")


def read(path: Path) -> FewShotPaper:
    """Return a paper's tables.

    Raises:
        UsageError: Something lacks, or is unknown.
    """
    return FewShotPaper.parse(tomllib.loads(path.read_text("utf-8")), path.name)


def markdown(paper: FewShotPaper, runs: Sequence[Run]) -> str:
    """Return a heading and a pipe table for each table; ± is half a 95 % t interval over the test episodes."""
    blocks = []
    for table in paper.part:
        lines = [HEADS, ["---", *["---:"] * (len(HEADS) - 1)]]
        lines += [_cells(row, answer(paper.dataset, row, runs)) for row in table.row]
        blocks += [f"## {table.title}", "\n".join(map(pipe, lines))]
    return "\n\n".join(blocks)


def answer(dataset: str, row: Answered, runs: Sequence[Run]) -> Run | None:
    """Return the run of episodes of a dataset that answers a row; None if it is still to be made.

    Raises:
        ResultsError: Several do.
    """
    found = [run for run in runs if run.finished and _answers(run, dataset, row)]
    if len(found) > 1:
        raise ResultsError(f"{row.name} is answered by {len(found)} runs; say more of its settings")
    return found[0] if found else None


def _answers(run: Run, dataset: str, row: Answered) -> bool:
    said = run.specification
    names = [said[key]["name"] for key in ("dataset", "scenario", "strategy")]
    settings = (
        (said["strategy"]["hyper_parameters"], row.hyper_parameters),
        (said["scenario"]["options"], row.options),
    )
    agrees = all(has.get(k, "default") == v for has, wanted in settings for k, v in wanted.items())
    return names == [dataset, "episodic", row.strategy] and agrees


def _cells(row: FewShotRow, run: Run | None) -> list[str]:
    published = NONE if row.paper is None else f"{row.paper:.2f}"
    cells = [markdown_escape(row.name), published]
    if run is None:
        return [*cells, "not run", NONE, NONE, NONE]
    record = run.record
    metrics, trained = record["metrics"], record["specification"]["scenario"]["options"]["episodes"]
    minutes = record["budget"]["train_seconds"] / 60
    return [
        *cells,
        f"{100 * metrics['average_accuracy']:.2f} ± {100 * metrics['ci95']:.2f}",
        f"{metrics['episodes']:,}",
        f"{trained:,}" if trained else NONE,
        f"{minutes:.0f}" if trained else NONE,
    ]
