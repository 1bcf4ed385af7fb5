"""Strategies × scenarios: average accuracy where each pair had its own choice of hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence

from clbench.compare.collection import Run
from clbench.compare.markup import markdown_escape, pipe
from clbench.compare.panels import NONE
from clbench.errors import ResultsError
from clbench.specification import run_hash
from clbench.statistics import mean_interval


def markdown(runs: Sequence[Run], scenarios: Sequence[str]) -> str:
    """Return a pipe table of mean average accuracy in % ± half a 95 % t interval, the best of the last column first.

    Args:
        runs: Of one dataset; one setting of each strategy on each scenario.
        scenarios: The columns.

    Raises:
        ResultsError: A strategy has several settings on a scenario.
    """
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        names = run.specification["strategy"]["name"], run.specification["scenario"]["name"]
        found.setdefault(names, []).append(run)
    strategies = {strategy for strategy, _ in found}
    rows = {
        strategy: [_estimate(found.get((strategy, scenario), [])) for scenario in scenarios]
        for strategy in strategies
    }
    order = sorted(strategies, key=lambda name: (-(rows[name][-1] or (0.0, None))[0], name))
    lines = [["strategy", *scenarios], ["---", *("---:" for _ in scenarios)]]
    lines += [[markdown_escape(name), *map(_text, rows[name])] for name in order]
    return "\n".join(map(pipe, lines))


Estimate = tuple[float, float | None]
"""Mean and half an interval; None for a single seed."""


def _estimate(runs: Sequence[Run]) -> Estimate | None:
    if len({run_hash(run.specification) for run in runs}) > 1:
        name, scenario = (runs[0].specification[key]["name"] for key in ("strategy", "scenario"))
        raise ResultsError(f"{name} has several settings on {scenario}; an overview takes one")
    return (
        mean_interval([run.record["metrics"]["average_accuracy"] for run in runs]) if runs else None
    )


def _text(estimate: Estimate | None) -> str:
    if estimate is None:
        return NONE
    mean, half = estimate
    return f"{100 * mean:.2f}" + ("" if half is None else f" ± {100 * half:.2f}")
