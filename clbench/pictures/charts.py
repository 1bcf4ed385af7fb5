"""What a picture shows, as plain data: panels of lines, points or cells, from the tables of `compare`.

Every number comes from the same runs and estimates as the tables; nothing here draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from clbench.compare.collection import Run
from clbench.compare.comparability import Row
from clbench.compare.scores import by_unit
from clbench.compare.tables import Settings, Table
from clbench.metrics import Matrix
from clbench.seeds import Seeds
from clbench.statistics import Estimate, Interval, estimate
from clbench.words import spaced

ACCURACY = "average_accuracy"
Y_NAME = "average accuracy (%)"


@dataclass(frozen=True)
class Point:
    """A place in a chart; its intervals are drawn as bars."""

    x: Estimate
    y: Estimate


@dataclass(frozen=True)
class Series:
    """What one strategy (or task) has in a chart."""

    label: str
    points: tuple[Point, ...]
    everywhere: bool = False
    """Whether its only value holds along the whole axis: drawn as a level line."""


@dataclass(frozen=True)
class Span:
    """A stretch of the x axis, shaded, with words above."""

    low: float
    high: float
    words: str


@dataclass(frozen=True)
class Chart:
    """Axes with series."""

    title: str
    x_name: str
    y_name: str
    series: tuple[Series, ...]
    joined: bool = True
    """Whether points are joined by a line and intervals drawn as a band."""
    scale: Literal["linear", "log"] = "linear"
    """Of x. On a logarithmic axis, 0 has a place of its own at the left."""
    counts: bool = False
    """Whether x counts experiences, so that only whole numbers are marked."""
    notes: tuple[str, ...] = ()
    """What a reader must know and the picture does not show."""
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class HeatMap:
    """An accuracy matrix in %: T rows (after experience i) and T columns (task j); None is not defined."""

    title: str
    cells: tuple[tuple[float | None, ...], ...]


Panel = Chart | HeatMap


def notes(panels: Sequence[Panel]) -> list[str]:
    """Return what a reader must know and the panels do not show."""
    return [note for panel in panels if isinstance(panel, Chart) for note in panel.notes]


def exactly(value: float) -> Estimate:
    """Return a value that has no interval."""
    return Estimate(value, None, None, 1)


def percent(found: Estimate) -> Estimate:
    """Return an estimate of a fraction in %."""
    low, high = (None if end is None else 100 * end for end in (found.low, found.high))
    return Estimate(100 * found.value, low, high, found.n)


def places(tables: Sequence[Table]) -> Iterator[tuple[str, Table, str]]:
    """Yield every scenario of every table with the shortest title that tells it from the others."""
    for table in tables:
        for scenario in table.scenarios:
            parts = [table.title] if len(tables) > 1 else []
            parts += [scenario] if len(table.scenarios) > 1 else []
            yield ": ".join(parts), table, scenario


def matrices(runs: Sequence[Run]) -> dict[Seeds, Matrix]:
    """Return the accuracy matrix of each run; nothing if one is not (T+1) × T with the same T."""
    found: dict[Seeds, Matrix] = {run.seeds: run.record.get("matrix") or () for run in runs}
    shapes = {tuple(map(len, matrix)) for matrix in found.values()}
    tasks = {len(shape) - 1 for shape in shapes}
    square = len(shapes) == 1 and set().union(*shapes) == tasks
    return found if square else {}


def across(
    found: Mapping[Seeds, Matrix], value: Callable[[Matrix], float | None], interval: Interval
) -> Estimate | None:
    """Return the estimate over the seeds of a function of the matrix, in %; None if it is undefined in one."""
    values = {seeds: value(matrix) for seeds, matrix in found.items()}
    known = {seeds: number for seeds, number in values.items() if number is not None}
    if not known or len(known) < len(values):
        return None
    return percent(estimate(list(by_unit(known).values()), interval))


def matrix(tables: Sequence[Table], settings: Settings) -> list[Panel]:
    """Return the mean accuracy matrix of every row on every scenario."""
    found: list[Panel] = []
    for title, table, scenario in places(tables):
        for row in table.rows:
            own = matrices(table.cells[row.label, scenario].finished)
            count = range(1, len(next(iter(own.values()), ())))
            cells = tuple(
                tuple(_value(across(own, _cell(i, j), settings.interval)) for j in count)
                for i in count
            )
            if cells:
                found.append(HeatMap(": ".join(filter(None, [title, row.label])), cells))
    return found


def _value(found: Estimate | None) -> float | None:
    return found.value if found else None


def _cell(experience: int, task: int) -> Callable[[Matrix], float | None]:
    return lambda cells: cells[experience][task - 1]


def _seen(experience: int) -> Callable[[Matrix], float | None]:
    """Return the function that takes the mean over the tasks seen after an experience."""

    def mean(cells: Matrix) -> float | None:
        known = [cell for cell in cells[experience][:experience] if cell is not None]
        return sum(known) / experience if len(known) == experience else None

    return mean


def stream(tables: Sequence[Table], settings: Settings) -> list[Panel]:
    """Return average accuracy over the tasks seen, after each experience."""
    return [
        Chart(
            title,
            "experiences learnt",
            "accuracy on tasks seen (%)",
            tuple(_along(row.label, _runs(table, row, scenario), settings) for row in table.rows),
            counts=True,
        )
        for title, table, scenario in places(tables)
    ]


def _runs(table: Table, row: Row, scenario: str) -> Sequence[Run]:
    return table.cells[row.label, scenario].finished


def _along(label: str, runs: Sequence[Run], settings: Settings) -> Series:
    own = matrices(runs)
    count = len(next(iter(own.values()), ()))
    return Series(label, _points(own, {i: _seen(i) for i in range(1, count)}, settings))


def _points(
    own: Mapping[Seeds, Matrix],
    values: Mapping[int, Callable[[Matrix], float | None]],
    settings: Settings,
) -> tuple[Point, ...]:
    found = {i: across(own, value, settings.interval) for i, value in values.items()}
    return tuple(Point(exactly(i), y) for i, y in found.items() if y is not None)


def tasks(tables: Sequence[Table], settings: Settings) -> list[Panel]:
    """Return the accuracy of each task from the experience that taught it on, a chart per row."""
    found: list[Panel] = []
    for title, table, scenario in places(tables):
        for row in table.rows:
            own = matrices(_runs(table, row, scenario))
            count = len(next(iter(own.values()), ()))
            series = tuple(
                Series(
                    f"task {j}",
                    _points(own, {i: _cell(i, j) for i in range(j, count)}, settings),
                )
                for j in range(1, count)
            )
            name = ": ".join(filter(None, [title, row.label]))
            found.append(Chart(name, "experiences learnt", "accuracy (%)", series, counts=True))
    return found


def trade_off(tables: Sequence[Table], against: str) -> list[Panel]:
    """Return average accuracy against another metric, a point per row."""

    def place(table: Table, row: Row, scenario: str) -> Estimate | None:
        found = table.cells[row.label, scenario].scores[against].estimate
        return percent(found) if found else None

    return _scattered(tables, f"{spaced(against)} (%)", place, "linear")


def cost(tables: Sequence[Table], against: str) -> list[Panel]:
    """Return average accuracy against a cost, a point per row."""

    def place(table: Table, row: Row, scenario: str) -> Estimate | None:
        found = table.cells[row.label, scenario].costs[against]
        return None if found is None else exactly(found)

    return _scattered(tables, spaced(against), place, "log")


def _scattered(
    tables: Sequence[Table],
    x_name: str,
    place: Callable[[Table, Row, str], Estimate | None],
    scale: Literal["linear", "log"],
) -> list[Panel]:
    found: list[Panel] = []
    for title, table, scenario in places(tables):
        series = []
        for row in table.rows:
            x = place(table, row, scenario)
            y = table.cells[row.label, scenario].scores[ACCURACY].estimate
            if x is not None and y is not None:
                series.append(Series(row.label, (Point(x, percent(y)),)))
        found.append(Chart(title, x_name, Y_NAME, tuple(series), joined=False, scale=scale))
    return found
