"""Strategies × streams: average accuracy where each pair had its own choice of hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clbench.compare.collection import Run
from clbench.compare.markup import markdown_escape, pipe
from clbench.compare.panels import NONE
from clbench.errors import ResultsError
from clbench.specification import run_hash
from clbench.statistics import mean_interval


def markdown(columns: Mapping[str, Sequence[Run]], leading: str, decimals: int = 2) -> str:
    """Return a pipe table of mean average accuracy in % ± half a 95 % t interval.

    Args:
        columns: By their titles, the runs of a stream; one setting of each strategy.
        leading: The column whose best strategy comes first.
        decimals: Of the percentages.

    Raises:
        ResultsError: A strategy has several settings on a stream.
    """
    found = {title: _by_strategy(runs) for title, runs in columns.items()}
    strategies = {strategy for column in found.values() for strategy in column}
    estimates = {title: {s: _estimate(c[s]) for s in c} for title, c in found.items()}
    lead = estimates[leading]
    order = sorted(strategies, key=lambda name: (-lead[name][0] if name in lead else 0.0, name))
    lines = [["strategy", *columns], ["---", *("---:" for _ in columns)]]
    for name in order:
        cells = [_text(column.get(name), decimals) for column in estimates.values()]
        lines.append([markdown_escape(name), *cells])
    return "\n".join(map(pipe, lines))


Estimate = tuple[float, float | None]
"""Mean and half an interval; None for a single seed."""


def _by_strategy(runs: Sequence[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.specification["strategy"]["name"], []).append(run)
    return found


def _estimate(runs: Sequence[Run]) -> Estimate:
    if len({run_hash(run.specification) for run in runs}) > 1:
        name, scenario = (runs[0].specification[key]["name"] for key in ("strategy", "scenario"))
        raise ResultsError(f"{name} has several settings on {scenario}; an overview takes one")
    return mean_interval([run.record["metrics"]["average_accuracy"] for run in runs])


def _text(estimate: Estimate | None, decimals: int) -> str:
    if estimate is None:
        return NONE
    mean, half = (None if part is None else f"{100 * part:.{decimals}f}" for part in estimate)
    return f"{mean}" + ("" if half is None else f" ± {half}")
