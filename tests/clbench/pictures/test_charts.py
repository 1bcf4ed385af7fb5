"""What pictures show, against numbers computed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from clbench.compare.comparability import groups
from clbench.compare.tables import Settings, Table, compare
from clbench.errors import UsageError
from clbench.pictures.charts import Chart, HeatMap, Panel, Point, Series
from clbench.pictures.kinds import KINDS, METRICS, panels
from tests.clbench.compare.records import episodic, failed, record, runs_of

SETTINGS = Settings(METRICS)


def tables(*records: dict[str, Any]) -> list[Table]:
    return compare(groups(runs_of(*records)), SETTINGS)


def charts(found: list[Panel]) -> list[Chart]:
    assert all(isinstance(panel, Chart) for panel in found)
    return [panel for panel in found if isinstance(panel, Chart)]


def values(series: Series) -> list[tuple[float, float]]:
    return [(round(point.x.value, 9), round(point.y.value, 9)) for point in series.points]


def only(found: list[Panel]) -> Chart:
    (chart,) = charts(found)
    return chart


def test_a_matrix_is_the_mean_over_the_seeds() -> None:
    shown = panels(
        "matrix", tables(record(seed=0), record(seed=1, cells=(0.7, 0.5, 0.6))), SETTINGS
    )
    (found,) = shown
    assert isinstance(found, HeatMap)
    assert found.title == "replay"
    assert found.cells[0][1] is None
    assert (found.cells[0][0], *found.cells[1]) == pytest.approx((80.0, 60.0, 70.0))


def test_the_stream_is_the_mean_over_tasks_seen_with_the_tables_interval() -> None:
    shown = tables(record(seed=0), record(seed=1, cells=(0.7, 0.5, 0.6)))
    chart = only(panels("stream", shown, SETTINGS))
    (series,) = chart.series
    assert (chart.title, series.label, chart.counts) == ("", "replay", True)
    assert values(series) == [(1, 80.0), (2, 65.0)]
    last = shown[0].cells["replay", "class-incremental"].scores["average_accuracy"].estimate
    assert last is not None
    assert last.low is not None
    assert series.points[-1].y.low == pytest.approx(100 * last.low)


def test_tasks_begin_where_they_are_learnt() -> None:
    chart = only(panels("tasks", tables(record()), SETTINGS))
    assert chart.title == "replay"
    assert {s.label: values(s) for s in chart.series} == {
        "task 1": [(1, 90.0), (2, 70.0)],
        "task 2": [(2, 80.0)],
    }


@pytest.mark.parametrize(
    ("kind", "against", "x_name", "x"),
    [
        ("trade-off", None, "forgetting (%)", 20.0),
        ("trade-off", "learning_accuracy", "learning accuracy (%)", 85.0),
        ("cost", None, "steps", 1000.0),
        ("cost", "seconds", "seconds", 2.0),
    ],
)
def test_accuracy_against_something(kind: str, against: str | None, x_name: str, x: float) -> None:
    chart = only(panels(kind, tables(record()), SETTINGS, against))
    assert chart.x_name == x_name
    assert values(chart.series[0]) == [(x, 75.0)]


@pytest.mark.parametrize(("kind", "against"), [("cost", "forgetting"), ("stream", "steps")])
def test_what_a_picture_cannot_be_drawn_against(kind: str, against: str) -> None:
    with pytest.raises(UsageError, match="--against"):
        panels(kind, tables(record()), SETTINGS, against)


def traced(seed: int, *after: float, **changes: Any) -> dict[str, Any]:
    trace = [{"experience": 1, "step": 3, "accuracy": [0.5]}]
    steps = enumerate(after)
    trace += [{"experience": 2, "step": 10 * i, "accuracy": [a, 0.9]} for i, a in steps]
    return record(seed=seed, anytime=trace, **changes)


def test_a_transfer_is_the_change_since_the_last_task_began() -> None:
    shown = tables(traced(0, 0.5, 0.6, 0.4), traced(1, 0.5, 0.8, 0.4))
    chart = only(panels("transfer", shown, SETTINGS))
    (series,) = chart.series
    assert values(series) == [(0, 0.0), (10, 20.0), (20, -10.0)]
    assert series.points[1].y.low is not None
    assert series.points[1].y.low < 10
    assert (chart.spans, chart.notes) == ((), ())


def curved(seed: int, *accuracies: float, **changes: Any) -> dict[str, Any]:
    curve = [{"episodes": 100 * i, "accuracy": a} for i, a in enumerate(accuracies, 1)]
    return episodic(seed=seed, **changes) | {"learning_curve": curve}


def test_a_learning_curve_is_the_mean_over_the_seeds() -> None:
    shown = tables(curved(0, 0.5, 0.6), curved(1, 0.7, 0.9), episodic("nearest"))
    chart = only(panels("learning", shown, SETTINGS))
    (series,) = chart.series
    assert (series.label, values(series)) == ("metanet", [(100, 60.0), (200, 75.0)])
    assert series.points[0].y.low is not None


def test_a_run_that_tests_anothers_training_has_no_curve_of_its_own() -> None:
    tested = curved(0, 0.5, hyper={"ablation": "nearest-key"})
    tested["learning_curve_settings"] = {"ablation": "none"}
    chart = only(panels("learning", tables(curved(0, 0.5), tested), SETTINGS))
    assert len(chart.series) == 1
    assert panels("learning", tables(tested), SETTINGS) == []


def test_the_papers_signs_stand_beside_the_papers_experiment_alone() -> None:
    own = {"dataset": {"name": "omniglot", "hash": "o"}, "options": {"then": "mnist"}}
    chart = only(panels("transfer", tables(traced(0, 0.5, 0.6, **own)), SETTINGS))
    assert [series.label for series in chart.series] == ["replay", "Munkhdalai & Yu 2017"]
    assert values(chart.series[1]) == [(7600, -1.7)]
    assert [(span.low, span.high) for span in chart.spans] == [(0, 2400), (2800, 7600)]


def sweep(*sizes: int, **changes: Any) -> list[dict[str, Any]]:
    return [
        record(
            "replay",
            cells=(0.9, size / 100, 0.5),
            hyper_parameters={"memory_size": size, **changes},
        )
        for size in sizes
    ]


def test_memory_joins_the_tables_that_differ_in_memory_alone() -> None:
    others = [record("joint", budget={"memory_examples": 99}), record("finetune")]
    shown = tables(*sweep(50, 10, 30), *others)
    assert len(shown) == 3
    chart = only(panels("memory", shown, SETTINGS))
    found = {series.label: series for series in chart.series}
    assert values(found["replay"]) == [(10, 30.0), (30, 40.0), (50, 50.0)]
    assert found["joint"].everywhere
    assert found["finetune"].everywhere
    assert len(found) == 3


def test_settings_that_change_along_a_line_are_said() -> None:
    chart = only(panels("memory", tables(*sweep(10, 20), *sweep(50, lr=0.3)), SETTINGS))
    assert [series.label for series in chart.series] == ["replay"]
    assert chart.notes == (
        "replay has other settings at some sizes: 10: lr=0.1; 20: lr=0.1; 50: lr=0.3.",
    )


def test_variants_of_a_size_are_lines_of_their_own() -> None:
    chart = only(panels("memory", tables(*sweep(10, 20), *sweep(10, lr=0.3)), SETTINGS))
    assert {series.label: len(series.points) for series in chart.series} == {
        "replay lr=0.1": 2,
        "replay lr=0.3": 1,
    }
    assert chart.notes == ()


def test_memory_never_joins_other_differences() -> None:
    other = record("replay", dataset={"name": "other", "hash": "o"})
    found = charts(panels("memory", tables(*sweep(10, 20), other), SETTINGS))
    assert [chart.title[:5] for chart in found] == ["other", "toy, "]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "bad",
    [
        failed("replay", 0, "no"),
        record(matrix=[[None]], metrics={}),
        record(matrix=[], metrics=None),
        record(matrix=[[0.1, 0.2], [0.1], []], metrics={}),
        record(matrix=[[None, None]] * 3, metrics={}, budget={"steps": None}),
    ],
    ids=["failed", "no tasks", "empty", "ragged", "undefined"],
)
def test_runs_without_numbers_draw_nothing(kind: str, bad: dict[str, Any]) -> None:
    for panel in panels(kind, tables(bad), SETTINGS):
        if isinstance(panel, HeatMap):
            assert {cell for row in panel.cells for cell in row} == {None}
        else:
            assert not any(series.points for series in panel.series)


def test_points_are_kept_whole() -> None:
    """A point has both intervals: forgetting varies over the seeds, too."""
    chart = only(
        panels("trade-off", tables(record(seed=0), record(seed=1, cells=(0.9, 0.6, 0.8))), SETTINGS)
    )
    point: Point = chart.series[0].points[0]
    assert (point.x.value, point.y.value) == pytest.approx((25.0, 72.5))
    assert None not in (point.x.low, point.y.low)
