"""Two hyper-parameters of a strategy crossed: average accuracy of every combination that was run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clbench.compare.collection import Run
from clbench.compare.markup import pipe
from clbench.compare.panels import NONE
from clbench.errors import ResultsError
from clbench.seeds import Seeds
from clbench.specification import canonical
from clbench.statistics import mean_interval


def markdown(runs: Sequence[Run], down: str, across: str) -> str:
    """Return a pipe table of mean average accuracy in % ± half a 95 % t interval, and the number of seeds.

    Args:
        runs: Of one strategy on one stream.
        down: The hyper-parameter of the rows.
        across: That of the columns.

    Raises:
        ResultsError: The runs differ in more than these two and the seed.
    """
    rows, columns = (sorted({_value(run, name) for run in runs}) for name in (down, across))
    if len({_others(run, {down, across}) for run in runs}) > 1:
        raise ResultsError(f"runs differ in more than {down}, {across} and the seed")
    lines = [[f"{down} \\ {across}", *(f"{value:,}" for value in columns)]]
    lines += [["---:"] * (len(columns) + 1)]
    for row in rows:
        cells = [
            {run.seeds: run for run in runs if (_value(run, down), _value(run, across)) == place}
            for place in ((row, column) for column in columns)
        ]
        lines += [[f"{row:g}", *map(_cell, cells)]]
    return "\n".join(map(pipe, lines))


def _value(run: Run, name: str) -> Any:
    return run.specification["strategy"]["hyper_parameters"][name]


def _others(run: Run, crossed: set[str]) -> str:
    said = {k: v for k, v in run.specification.items() if k not in ("seed", "strategy")}
    own = run.specification["strategy"]
    kept = {k: v for k, v in own["hyper_parameters"].items() if k not in crossed}
    return canonical({**said, "strategy": {**own, "hyper_parameters": kept}})


def _cell(found: dict[Seeds, Run]) -> str:
    if not found:
        return NONE
    mean, half = mean_interval([r.record["metrics"]["average_accuracy"] for r in found.values()])
    interval = "" if half is None else f" ± {100 * half:.1f}"
    return f"{100 * mean:.1f}{interval} ({len(found)})"
