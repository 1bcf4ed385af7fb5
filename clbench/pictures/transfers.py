"""What learning the last task does to the first, step by step, beside the paper's for MetaNet's own experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clbench.compare.collection import Run
from clbench.compare.scores import by_unit
from clbench.compare.tables import Settings, Table
from clbench.pictures.charts import Chart, Panel, Point, Series, Span, exactly, percent, places
from clbench.seeds import Seeds
from clbench.statistics import estimate

_PAPER = "Munkhdalai & Yu 2017"
_SIGNS = (Span(0, 2_400, "paper: gain"), Span(2_800, 7_600, "paper: loss"))
_LAST = Series(_PAPER, (Point(exactly(7_600), exactly(-1.7)),))
_NOTE = f"{_PAPER} (section 4.2.3) tell the signs, the largest gain, 1.24, and the last loss, 1.7."


def transfer(tables: Sequence[Table], settings: Settings) -> list[Panel]:
    """Return the change of accuracy on the first task since the last began, against the last one's steps."""
    return [_chart(*place, settings) for place in places(tables)]


def _chart(title: str, table: Table, scenario: str, settings: Settings) -> Chart:
    cells = [(row.label, table.cells[row.label, scenario].finished) for row in table.rows]
    traced = [(label, runs) for label, runs in cells if runs and all(map(_trace, runs))]
    series = [Series(label, _points(runs, settings)) for label, runs in traced]
    own = traced and all(_is_the_papers(run) for _, runs in traced for run in runs)
    return Chart(
        title,
        "training episodes of the second problem" if own else "steps of the last task",
        "change on the first task (points)",
        (*series, _LAST) if own else tuple(series),
        notes=(_NOTE,) if own else (),
        spans=_SIGNS if own else (),
    )


def _trace(run: Run) -> list[dict[str, Any]]:
    """Return the points of the last task, the first of them from before it; nothing for a single task."""
    trace = run.record.get("anytime") or []
    last = trace[-1]["experience"] if trace else 1
    if last == 1:
        return []
    before = [point for point in trace if point["experience"] == last - 1][-1]
    return [before | {"step": 0}, *(p for p in trace if p["experience"] == last and p["step"])]


def _points(runs: Sequence[Run], settings: Settings) -> tuple[Point, ...]:
    """Return the estimates over the seeds at every step that all of them have."""
    changes: dict[int, dict[Seeds, float]] = {}
    for run in runs:
        before, *_ = trace = _trace(run)
        for point in trace:
            change = point["accuracy"][0] - before["accuracy"][0]
            changes.setdefault(point["step"], {})[run.seeds] = change
    return tuple(
        Point(exactly(step), percent(estimate(list(by_unit(found).values()), settings.interval)))
        for step, found in sorted(changes.items())
        if len(found) == len(runs)
    )


def _is_the_papers(run: Run) -> bool:
    options = run.specification["scenario"]["options"]
    names = run.specification["dataset"]["name"], options.get("then")
    return names == ("omniglot", "mnist")
