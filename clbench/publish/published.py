"""A paper's table beside ours: read from TOML, matched with runs, compared row by row.

Ours agrees when |ours − paper| ≤ 2·√(sd_paper² + sd_ours²), both standard deviations with ddof 0.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from statistics import fmean, pstdev
from typing import Annotated, Any

from pydantic import Field

from clbench.compare.collection import Run, essence
from clbench.compare.markup import markdown_escape, pipe
from clbench.compare.panels import NONE
from clbench.errors import ResultsError
from clbench.parameters import Parameters
from clbench.specification import canonical

Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class PublishedRow(Parameters):
    """A row of the paper's table, and which of our runs answers it."""

    name: str = Field(description="as the paper calls it")
    strategy: str = Field(description="our strategy")
    hyper_parameters: dict[str, Any] = Field({}, description="what tells our variant from others")
    values: dict[str, Pair] = Field(description="mean and standard deviation in %, by scenario")
    short: bool = Field(False, description="whether the short version has it")


class PublishedTable(Parameters):
    """A table of a paper."""

    source: str
    dataset: str
    scenarios: list[str]
    row: list[PublishedRow]


@dataclass(frozen=True)
class Ours:
    """Average accuracy of our runs, in %."""

    mean: float
    deviation: float
    """Over the seeds, ddof 0."""
    n: int

    def agrees(self, mean: float, deviation: float) -> bool:
        """Return whether the distance to a published mean is within twice the joint deviation."""
        return abs(self.mean - mean) <= 2 * hypot(self.deviation, deviation)


def read(path: Path) -> PublishedTable:
    """Return a published table.

    Raises:
        UsageError: It lacks something, or has something unknown.
    """
    return PublishedTable.parse(tomllib.loads(path.read_text("utf-8")), path.name)


def ours(row: PublishedRow, scenario: str, dataset: str, runs: Iterable[Run]) -> Ours | None:
    """Return what our runs of a row reached on a scenario; None if there are none yet.

    Raises:
        ResultsError: Runs of several specifications answer the row.
    """
    found = [run for run in runs if run.finished and _answers(run, row, scenario, dataset)]
    if len({canonical(essence(run.specification)) for run in found}) > 1:
        raise ResultsError(
            f"{row.name} on {scenario} is answered by runs of several specifications;"
            " name more hyper-parameters, or remove some of the files"
        )
    accuracies = [run.metric("average_accuracy") for run in found]
    known = [100 * accuracy for accuracy in accuracies if accuracy is not None]
    return Ours(fmean(known), pstdev(known), len(known)) if known else None


def _answers(run: Run, row: PublishedRow, scenario: str, dataset: str) -> bool:
    specification = run.specification
    names = [specification[key]["name"] for key in ("dataset", "scenario", "strategy")]
    hyper = specification["strategy"]["hyper_parameters"]
    return names == [dataset, scenario, row.strategy] and all(
        hyper.get(key) == value for key, value in row.hyper_parameters.items()
    )


def markdown(table: PublishedTable, runs: Sequence[Run]) -> str:
    """Return a heading and a pipe table per scenario: the paper's numbers, ours, and whether they agree."""
    blocks = []
    for scenario in table.scenarios:
        lines = [["method", *PARTS], _rule(len(PARTS))]
        for row in table.row:
            cells = _cells(row, scenario, table.dataset, runs)
            lines.append([_method(row), *(cells[part] for part in PARTS)])
        blocks += [f"## {scenario}", "\n".join(map(pipe, lines))]
    return "\n\n".join(blocks)


def summary(table: PublishedTable, runs: Sequence[Run]) -> str:
    """Return one pipe table of the rows marked ``short``, the scenarios side by side, without differences."""
    parts = ("paper", "ours", "agrees")
    heads = [f"{scenario}: {part}" for scenario in map(_bare, table.scenarios) for part in parts]
    lines = [["method", *heads], _rule(len(heads))]
    for row in filter(lambda row: row.short, table.row):
        cells = [_cells(row, scenario, table.dataset, runs) for scenario in table.scenarios]
        lines.append([_method(row), *(cell[part] for cell in cells for part in parts)])
    return "\n".join(map(pipe, lines))


PARTS = ("paper", "ours", "n", "difference", "agrees")


def _rule(columns: int) -> list[str]:
    return ["---", *["---:"] * columns]


def _method(row: PublishedRow) -> str:
    return markdown_escape(f"{row.name} ({row.strategy})")


def _bare(scenario: str) -> str:
    return scenario.removesuffix("-incremental")


def _cells(
    row: PublishedRow, scenario: str, dataset: str, runs: Sequence[Run]
) -> Mapping[str, str]:
    published = row.values.get(scenario)
    found = ours(row, scenario, dataset, runs)
    cells = dict.fromkeys(PARTS, NONE)
    if published is not None:
        cells["paper"] = f"{published[0]:.2f} ± {published[1]:.2f}"
    if found is not None:
        cells |= {"ours": f"{found.mean:.2f} ± {found.deviation:.2f}", "n": str(found.n)}
    if published is not None and found is not None:
        cells["difference"] = f"{found.mean - published[0]:+z.2f}"
        cells["agrees"] = "yes" if found.agrees(*published) else "no"
    return cells
