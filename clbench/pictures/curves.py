"""Learning curves of meta-learners: accuracy on validation classes along the training episodes."""

from __future__ import annotations

from collections.abc import Sequence

from clbench.compare.collection import Run
from clbench.compare.scores import by_unit
from clbench.compare.tables import Settings, Table
from clbench.pictures.charts import Chart, Panel, Point, Series, exactly, percent, places
from clbench.seeds import Seeds
from clbench.statistics import estimate


def learning(tables: Sequence[Table], settings: Settings) -> list[Panel]:
    """Return accuracy on validation episodes against training episodes, a line per meta-learner.

    Runs that test another one's trained state in another way have no curve of their own and are left out.
    """
    charts = [_chart(*place, settings) for place in places(tables)]
    return [chart for chart in charts if chart.series]


def _chart(title: str, table: Table, scenario: str, settings: Settings) -> Chart:
    cells = [(row.label, table.cells[row.label, scenario].finished) for row in table.rows]
    traced = [(label, runs) for label, runs in cells if runs and all(map(_own_curve, runs))]
    series = tuple(Series(label, _points(runs, settings)) for label, runs in traced)
    return Chart(title, "training episodes", "validation accuracy (%)", series)


def _own_curve(run: Run) -> bool:
    return "learning_curve" in run.record and "learning_curve_settings" not in run.record


def _points(runs: Sequence[Run], settings: Settings) -> tuple[Point, ...]:
    """Return the estimates over the seeds at every point that all of them have."""
    found: dict[int, dict[Seeds, float]] = {}
    for run in runs:
        for point in run.record["learning_curve"]:
            found.setdefault(point["episodes"], {})[run.seeds] = point["accuracy"]
    return tuple(
        Point(exactly(episodes), percent(estimate(list(by_unit(own).values()), settings.interval)))
        for episodes, own in sorted(found.items())
        if len(own) == len(runs)
    )
