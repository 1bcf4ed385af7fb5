"""Metrics: the goldens of the protocol, hand-computed cases, undefined cells, properties."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.metrics import (
    METRICS,
    average_accuracy,
    average_incremental_accuracy,
    backward_transfer,
    compute_all,
    forgetting,
    forgetting_all_rows,
    forgetting_first,
    forward_transfer,
    learning_accuracy,
)

Row = list[float | None]
Grid = list[Row]
Cell = tuple[int, int]

FULL: Grid = [[0.5, 0.5, 0.5], [0.9, 0.7, 0.3], [0.6, 0.65, 0.8], [0.5, 0.6, 0.75]]


def triangle(*rows: list[float]) -> Grid:
    """Return a class-incremental matrix: rows after tasks, null where no class was seen."""
    count = len(rows)
    nothing: Grid = [[None] * count]
    return nothing + [[*row, *[None] * (count - len(row))] for row in rows]


FOUR = triangle([0.9], [0.6, 0.92], [0.7, 0.5, 0.88], [0.75, 0.4, 0.6, 0.9])
THREE = triangle([0.6], [0.7, 0.8], [0.9, 0.85, 0.8])


def test_golden_of_four_tasks() -> None:
    assert forgetting(FOUR) == pytest.approx(0.95 / 3)
    assert round(forgetting(FOUR) or 0, 4) == 0.3167
    assert backward_transfer(FOUR) == pytest.approx(-0.95 / 3)
    assert average_accuracy(FOUR) == pytest.approx(0.6625)
    assert learning_accuracy(FOUR) == pytest.approx(0.9)


def test_golden_of_improving_tasks_is_negative_and_never_clamped() -> None:
    assert forgetting(THREE) == pytest.approx(-0.125)
    assert forgetting_first(THREE) == pytest.approx(-0.175)
    assert backward_transfer(THREE) == pytest.approx(0.175)


def test_golden_of_full_rows() -> None:
    expected = {
        "average_accuracy": 1.85 / 3,
        "average_incremental_accuracy": 0.7139,
        "learning_accuracy": 0.7667,
        "forgetting": 0.2250,
        "forgetting_all_rows": 0.2500,
        "forgetting_first": 0.2250,
        "backward_transfer": -0.2250,
        "forward_transfer": 0.2500,
    }
    found = compute_all(FULL)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=5e-5), name


def test_nothing_forgotten_is_a_plain_zero() -> None:
    found = compute_all([[0.0, 0.0], [0.5, 0.0], [0.5, 1.0]])
    for name in ("forgetting", "forgetting_all_rows", "forgetting_first", "backward_transfer"):
        assert str(found[name]) == "0.0", name


def test_backward_transfer_averages_one_term_less_than_there_are_tasks() -> None:
    assert backward_transfer([[0, 0], [0.5, 0], [0.9, 1.0]]) == pytest.approx(0.4)


def test_forward_transfer_compares_just_before_learning_with_row_0() -> None:
    matrix: Grid = [[0.9, 0.1, 0.2], [0.9, 0.4, 0.9], [0.9, 0.9, 0.3], [0.9, 0.9, 0.9]]
    assert forward_transfer(matrix) == pytest.approx((0.3 + 0.1) / 2)


def test_class_incremental_nulls() -> None:
    found = compute_all(FOUR)
    undefined = {name for name, value in found.items() if value is None}
    assert undefined == {"forward_transfer", "forgetting_all_rows"}


def test_one_task_has_no_forgetting_and_no_transfer() -> None:
    found = compute_all([[0.1], [0.8]])
    assert found.pop("average_accuracy") == found.pop("learning_accuracy") == 0.8
    assert found.pop("average_incremental_accuracy") == 0.8
    assert set(found.values()) == {None}


@pytest.mark.parametrize(
    "matrix",
    [
        [],
        [[]],
        [[0.5]],
        [[0.5], [0.5], [0.5]],
        [[0.5, 0.5], [0.5, 0.5]],
        [[0.5, 0.5], [0.5], [0.5, 0.5]],
        [[0.5, 0.5, 0.5], [0.5, 0.5], [0.5, 0.5]],
    ],
)
@pytest.mark.parametrize("name", sorted(METRICS))
def test_wrong_shapes_are_refused(name: str, matrix: Grid) -> None:
    with pytest.raises(ValueError, match=r"\(T\+1\) × T"):
        METRICS[name].compute(matrix)


def test_every_metric_names_its_definition_and_paper() -> None:
    assert {name: metric.name for name, metric in METRICS.items()} == {n: n for n in METRICS}
    assert all(metric.definition and metric.paper for metric in METRICS.values())
    lower = {name for name, metric in METRICS.items() if not metric.higher_is_better}
    assert lower == {"forgetting", "forgetting_all_rows", "forgetting_first"}


# Properties.


@st.composite
def matrices(draw: st.DrawFn, least: int = 1) -> Grid:
    """Return a matrix without nulls."""
    count = draw(st.integers(least, 5))
    cells = draw(
        st.lists(
            st.floats(0, 1, width=32), min_size=count * (count + 1), max_size=count * (count + 1)
        )
    )
    return [list(cells[i * count : (i + 1) * count]) for i in range(count + 1)]


def value_of(metric: Callable[[Grid], float | None], matrix: Grid) -> float:
    """Return a metric that must be defined."""
    value = metric(matrix)
    assert value is not None
    return value


@given(matrices(least=2))
def test_the_three_forgettings_are_ordered(matrix: Grid) -> None:
    first = value_of(forgetting_first, matrix)
    best = value_of(forgetting, matrix)
    assert value_of(forgetting_all_rows, matrix) >= best - 1e-12
    assert best >= first - 1e-12
    assert first == -value_of(backward_transfer, matrix)


@given(matrices())
def test_bounds(matrix: Grid) -> None:
    cells = [value for row in matrix[1:] for value in row if value is not None]
    for metric in (average_accuracy, average_incremental_accuracy, learning_accuracy):
        assert min(cells) - 1e-12 <= value_of(metric, matrix) <= max(cells) + 1e-12
    for value in compute_all(matrix).values():
        assert value is None or -1 <= value <= 1


@given(matrices(least=2), st.integers(0, 4), st.floats(0, 1))
def test_row_0_counts_for_forward_transfer_alone(matrix: Grid, column: int, value: float) -> None:
    before = compute_all(matrix)
    other = [[*row] for row in matrix]
    other[0][column % len(matrix[0])] = value
    after = compute_all(other)
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"forward_transfer"}


@given(st.integers(2, 6), st.floats(0, 1))
def test_constant_matrix(count: int, value: float) -> None:
    found = compute_all([[value] * count] * (count + 1))
    for name, result in found.items():
        level = value if name.endswith("accuracy") else 0
        assert result == pytest.approx(level, abs=1e-12), name


@given(matrices(least=2))
def test_average_is_learning_accuracy_and_backward_transfer(matrix: Grid) -> None:
    count = len(matrix[0])
    transfer = value_of(backward_transfer, matrix) * (count - 1) / count
    expected = value_of(learning_accuracy, matrix) + transfer
    assert value_of(average_accuracy, matrix) == pytest.approx(expected, abs=1e-9)


@given(matrices(least=2), st.data())
def test_the_order_of_columns_matters_not_to_the_average(matrix: Grid, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(matrix[0]))))
    shuffled = [[row[j] for j in order] for row in matrix]
    assert average_accuracy(shuffled) == pytest.approx(average_accuracy(matrix))


@given(matrices(least=3), st.data())
def test_the_order_of_rows_between_matters_not_to_the_forgetting_of_the_first_task(
    matrix: Grid, data: st.DataObject
) -> None:
    """A task learnt first has been there in every row, so only the best of them counts."""
    count = len(matrix[0])
    rows = data.draw(st.permutations(range(1, count)))
    column = [matrix[i][0] for i in rows]
    other = [[*row] for row in matrix]
    for i, value in enumerate(column, start=1):
        other[i][0] = value
    assert forgetting(other) == pytest.approx(forgetting(matrix), abs=1e-12)


@given(matrices(least=2))
def test_forgetting_by_its_formula(matrix: Grid) -> None:
    """The mean over j<T of max over rows l=j…T−1 of R[l,j] minus R[T,j], written out."""
    last = len(matrix) - 1
    terms = []
    for j in range(1, last):
        column = [float(row[j - 1] or 0) for row in matrix]
        terms.append(max(column[j:last]) - column[last])
    assert forgetting(matrix) == pytest.approx(math.fsum(terms) / (last - 1), abs=1e-12)


def cells_needed(name: str, last: int) -> set[Cell]:
    """Return the cells (row, column), columns from 1, that a metric's definition mentions."""
    tasks = range(1, last + 1)
    old = range(1, last)
    return {
        "average_accuracy": {(last, j) for j in tasks},
        "average_incremental_accuracy": {(i, j) for i in tasks for j in range(1, i + 1)},
        "learning_accuracy": {(j, j) for j in tasks},
        "forgetting": {(i, j) for j in old for i in range(j, last + 1)},
        "forgetting_all_rows": {(i, j) for j in old for i in range(1, last + 1)},
        "forgetting_first": {(i, j) for j in old for i in (j, last)},
        "backward_transfer": {(i, j) for j in old for i in (j, last)},
        "forward_transfer": {(i, j) for j in range(2, last + 1) for i in (j - 1, 0)},
    }[name]


@pytest.mark.parametrize("name", sorted(METRICS))
@pytest.mark.parametrize("last", [2, 3, 4])
def test_a_metric_is_null_exactly_if_it_needs_a_null_cell(name: str, last: int) -> None:
    for i in range(last + 1):
        for j in range(1, last + 1):
            matrix: Grid = [[0.5] * last for _ in range(last + 1)]
            matrix[i][j - 1] = None
            is_null = METRICS[name].compute(matrix) is None
            assert is_null == ((i, j) in cells_needed(name, last)), (i, j)
