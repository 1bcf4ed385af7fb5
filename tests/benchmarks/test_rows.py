"""Every row runs in its smallest size, so that no benchmark rots; what it measures there means nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import gpu, split
from tests.benchmarks.__main__ import ROWS, main
from tests.benchmarks.measure import Figure, NotRun, Settings, Side, alternate
from tests.benchmarks.row import Goal, Row, outcome
from tests.benchmarks.table import document, markdown

MACHINE = {
    "command": "python -m tests.benchmarks",
    "started": "2026-01-01",
    "commit": "abc",
    "device_name": "a processor",
    "cores": 2,
    "load_at_start": [0.5, 1.0, 2.0],
    "platform": "Linux",
    "python": "3.12",
    "packages": {"torch": "2"},
}


@pytest.mark.filterwarnings("ignore")  # Avalanche's
@pytest.mark.parametrize(
    "name",
    [name for name in ROWS if not name.startswith("gpu-") and name != "metanet-digits"],
)  # in its smallest size it is `metanet`
def test_a_row_runs(name: str) -> None:
    """`measure` itself checks that both sides do the same work."""
    try:
        figure = ROWS[name].measure(Settings(repeats=1, quick=True))
    except NotRun as reason:
        pytest.skip(str(reason))
    assert math.isfinite(figure.value)
    assert figure.low <= figure.value <= figure.high
    json.dumps(figure.details)


@pytest.mark.filterwarnings("ignore")  # Avalanche's
@pytest.mark.parametrize("measure", [gpu.one_seed, gpu.seeds_at_once, gpu.against_avalanche])
def test_rows_of_a_gpu_run(
    measure: Callable[[Settings], Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the graphs themselves, for which the work stands in."""
    monkeypatch.setattr(gpu, "on_gpu", lambda settings: settings)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "none")
    monkeypatch.setattr(split, "record_graph", lambda work: work)
    figure = measure(Settings(repeats=1, quick=True))
    assert 0 < figure.low <= figure.value <= figure.high
    assert figure.note.endswith("; none")


def test_sides_take_turns_and_the_median_counts() -> None:
    order: list[str] = []

    def side(name: str) -> Side:
        return lambda: lambda: order.append(name)

    compared = alternate(side("a"), side("b"), repeats=3)
    assert "".join(order) == "abbaab"
    compared.wall[:] = [(1.0, 1.0), (2.0, 1.0), (9.0, 3.0)]
    figure = compared.figure()
    assert (figure.value, figure.low, figure.high) == (2.0, 1.0, 3.0)


def _row(goal: Goal, value: float | None) -> Row:
    def measure(_: Settings) -> Figure:
        if value is None:
            raise NotRun("no such thing here")
        return Figure(value, value, value)

    return Row("name", "what", "against", goal, measure)


@pytest.mark.parametrize(
    ("goal", "value", "told"),
    [
        (Goal(1.1), 1.1, "yes"),
        (Goal(1.1), 1.2, "**no**"),
        (Goal(3.0, at_least=True), 3.0, "yes"),
        (Goal(3.0, at_least=True), 2.9, "**no**"),
        (Goal(3.0), None, "not run"),
    ],
)
def test_the_table_says_what_came_out(goal: Goal, value: float | None, told: str) -> None:
    outcomes = [outcome(_row(goal, value), Settings())]
    line = markdown(outcomes, MACHINE, quick=False).splitlines()[-1]
    assert told in line
    assert ("`python -m tests.benchmarks name`" in line) == (value is None)
    (row,) = json.loads(document(outcomes, MACHINE, quick=False))["rows"]
    assert row["met"] == {"yes": True, "**no**": False, "not run": None}[told]


def test_a_row_that_fails_is_told_and_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(_: Settings) -> Figure:
        raise AssertionError("accuracies differ")

    bad = Row("bad", "what", "against", Goal(1.0), measure)
    monkeypatch.setattr(benchmarks, "ROWS", {"bad": bad, "good": _row(Goal(1.0), 0.5)})
    done = CliRunner().invoke(main, ["--output", str(tmp_path / "speed.md")])
    assert done.exit_code == 1
    first, second = (tmp_path / "speed.md").read_text("utf-8").splitlines()[-2:]
    assert "| **failed** |" in first
    assert "accuracies differ" in first
    assert "| 0.50× (0.50 to 0.50) |" in second


def test_a_folder_that_is_missing_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["memory", "--output", str(tmp_path / "none" / "speed.md")])
    assert done.exit_code == 2
    assert "there is no folder" in done.output
    assert "memory …" not in done.output


def test_the_command_writes_the_table_and_names_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    arguments = ["memory", "gpu-seeds", "--quick", "--repeats", "1", "--output", str(path)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "no CUDA device here" in done.output
    written = json.loads(path.read_text("utf-8"))
    assert {"device_name", "packages", "command", "load_at_start"} <= set(written["machine"])
    assert [row["row"] for row in written["rows"]] == ["memory", "gpu-seeds"]
