"""A paper's accuracy by presentation beside ours: read from TOML, each row answered by one run over many episodes."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from clbench.compare.collection import Run
from clbench.compare.markup import markdown_escape, pipe
from clbench.compare.panels import NONE
from clbench.parameters import Parameters
from clbench.publish.few_shot import Answered, answer


class PresentationRow(Answered):
    """A method."""

    paper: list[float] = Field([], description="accuracy in % at each of the presentations")


class Presentations(Parameters):
    """A paper's table: how often the nth drawing of a class is named before its label is told."""

    source: str
    dataset: str
    presentations: list[int] = Field(description="which of them the paper tells, from 1")
    row: list[PresentationRow]


def read(path: Path) -> Presentations:
    """Return a paper's table.

    Raises:
        UsageError: Something lacks, or is unknown.
    """
    return Presentations.parse(tomllib.loads(path.read_text("utf-8")), path.name)


def markdown(paper: Presentations, runs: Sequence[Run]) -> str:
    """Return a pipe table with two lines a method: the paper's and ours."""
    told = [f"{n}" for n in paper.presentations]
    lines = [["method", "", *told, "training episodes", "training minutes"]]
    lines += [["---", "---", *["---:"] * (len(told) + 2)]]
    for row in paper.row:
        run = answer(paper.dataset, row, runs)
        numbers = [f"{accuracy:.1f}" for accuracy in row.paper] or [NONE] * len(told)
        lines += [[markdown_escape(row.name), "paper", *numbers, NONE, NONE]]
        lines += [["", "ours", *_ours(paper.presentations, run)]]
    return "\n".join(map(pipe, lines))


def _ours(presentations: Sequence[int], run: Run | None) -> list[str]:
    if run is None:
        return ["not run", *[NONE] * (len(presentations) + 1)]
    accuracy = run.record["by_presentation"]
    trained = run.record["specification"]["scenario"]["options"]["episodes"]
    minutes = run.record["budget"]["train_seconds"] / 60
    return [
        *(f"{100 * accuracy[n - 1]:.1f}" for n in presentations),
        f"{trained:,}",
        f"{minutes:.0f}",
    ]
