"""The table of the rows, and the machine it was made on, as Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tests.benchmarks.row import Goal, Outcome

COMMAND = "python -m tests.benchmarks"


def markdown(outcomes: Sequence[Outcome], machine: dict[str, Any], quick: bool) -> str:
    """Return the table, and what it was made with."""
    lines = [
        "| row | what | against | goal | measured (least to largest) | by processor time | met? | |",
        "|---|---|---|---|---|---|---|---|",
        *("| " + " | ".join(_cells(outcome)) + " |" for outcome in outcomes),
    ]
    warning = ["Sizes of a smoke test: the figures mean nothing.", ""] if quick else []
    return "\n".join([*warning, *_told(machine), "", *lines]) + "\n"


def document(outcomes: Sequence[Outcome], machine: dict[str, Any], quick: bool) -> str:
    """Return all that was measured as JSON."""
    rows = [
        {
            "row": outcome.row.name,
            "what": outcome.row.what,
            "against": outcome.row.against,
            "goal": str(outcome.row.goal),
            "met": _met(outcome),
            "figure": asdict(outcome.figure) if outcome.figure else None,
            "failed": outcome.failed,
            "reason": outcome.reason,
        }
        for outcome in outcomes
    ]
    return json.dumps({"quick": quick, "machine": machine, "rows": rows}, indent=1) + "\n"


def _told(machine: dict[str, Any]) -> list[str]:
    """Return what the figures were made with."""
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    load = ", ".join(f"{value:g}" for value in machine["load_at_start"])
    return [
        f"* `{machine['command']}`, {machine['started']}, commit {machine['commit']}",
        f"* {machine['device_name']}, {machine['cores']} cores, load at start {load} (1, 5, 15 min);"
        f" {machine['platform']}",
        f"* Python {machine['python']}, {packages}; one thread",
    ]


def _cells(outcome: Outcome) -> list[str]:
    row, figure = outcome.row, outcome.figure
    begin = [row.name, row.what, row.against, str(row.goal)]
    if figure is None:
        said = "**failed**" if outcome.failed else "not run"
        return [*begin, said, "", "", f"{outcome.reason}; `{COMMAND} {row.name}`"]
    measured = f"{figure.value:.2f}{row.goal.unit} ({figure.low:.2f} to {figure.high:.2f})"
    processor = figure.details.get("processor_ratio")
    by_processor = "" if processor is None else f"{processor:.2f}{row.goal.unit}"
    return [*begin, measured, by_processor, "yes" if _met(outcome) else "**no**", figure.note]


def _met(outcome: Outcome) -> bool | None:
    goal: Goal = outcome.row.goal
    return None if outcome.figure is None else goal.met(outcome.figure.value)
