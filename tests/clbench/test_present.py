from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clbench.grid import Cell
from clbench.present import tables
from tests.clbench.compare.records import episodic, failed, record


def cell(one: dict[str, Any], name: str) -> Cell:
    spec = one["specification"]
    reason = one.get("error", {}).get("message", "")
    return Cell(
        spec, Path(f"{name}-s{spec['seed']}.json"), status=one["status"], record=one, reason=reason
    )


CELLS = [
    cell(record("finetune", 0, (0.9, 0.5, 0.7), budget={"steps": 900}), "a"),
    cell(record("finetune", 1, (0.9, 0.6, 0.8)), "a"),
    cell(record("replay"), "b"),
    cell(failed("nearest", 0, "a reason that goes on " * 8), "c"),
]


def test_metrics_and_costs_are_two_tables() -> None:
    """The half-width of two seeds is 12.706 times half their difference: 10 points make 63.53."""
    blocks = [
        [" ".join(line.split()) for line in block.splitlines()]
        for block in tables(CELLS).split("\n\n")
    ]
    protocol, metrics, costs, _, matrix, *_, ended = blocks
    assert protocol[0] == "class-incremental on toy"
    assert protocol[1].startswith("Protocol: single head;")
    assert metrics[-2:] == [
        "finetune 2 65.00 ± 63.53 35.00 ± 63.53 82.50 ± 31.77",
        "replay 1 75.00 20.00 85.00",
    ]
    assert costs[0] == "Costs, means over the runs:"
    assert costs[-2:] == [
        "finetune 5 0 0 950 2,000 2.0",
        "replay 5 20 balanced 1,280 1,000 2,000 2.0",
    ]
    assert matrix[-3:] == ["before – –", "after 1 90.0 –", "after 2 55.0 75.0"]
    assert ended[0].startswith("failed: nearest, seed 0: a reason")


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    shown = tables(CELLS, width)
    assert max(map(len, shown.splitlines())) <= width
    assert shown.count("63.53") == 2


def test_a_run_on_episodes_has_its_interval_over_them() -> None:
    shown = tables([cell(episodic(), "e")])
    assert "50.00 (± 0.61 over 1,000 episodes)" in shown
    assert "half a 95 % t interval over the test episodes of one run" in " ".join(shown.split())
