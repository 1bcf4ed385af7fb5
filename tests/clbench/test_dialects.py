"""What other libraries would print for the golden matrices, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.compare.collection import CATALOGUE
from clbench.dialects import BTI, DIALECTS
from clbench.metrics import Matrix, backward_transfer, forgetting
from tests.clbench.test_metrics import FOUR, FULL, THREE, triangle


def by(library: str, matrix: Matrix) -> float | None:
    return DIALECTS[library].compute(matrix)


def test_where_accuracy_only_falls() -> None:
    """Task drops .15, .52, .28; Continuum forgets the third task and still divides by 3."""
    assert by("avalanche", FOUR) == pytest.approx((0.15 + 0.52 + 0.28) / 3)
    assert by("mammoth", FOUR) == pytest.approx((0.15 + 0.52 + 0.28) / 3)
    assert by("pycil", FOUR) == by("mammoth", FOUR)
    assert by("continuum", FOUR) == pytest.approx((0.15 + 0.52) / 3)


def test_where_accuracy_rises() -> None:
    """With the last row in the maximum nothing is ever negative; Continuum sees .60 − .90 alone."""
    assert by("avalanche", THREE) == pytest.approx((-0.3 - 0.05) / 2)
    assert by("mammoth", THREE) == pytest.approx(0)
    assert by("continuum", THREE) == pytest.approx(-0.3 / 2)


def test_where_unseen_tasks_have_cells() -> None:
    """Task 2 at .70 before it was learnt counts nowhere: drops .90 − .50 and .65 − .60."""
    assert by("mammoth", FULL) == pytest.approx((0.4 + 0.05) / 2)
    assert by("continuum", FULL) == pytest.approx(0.4 / 2)


def test_pycil_rounds_accuracies_to_a_hundredth_of_a_percent() -> None:
    matrix = triangle([0.90004], [0.49996, 0.8])
    assert by("pycil", matrix) == pytest.approx(0.4, abs=1e-12)
    assert by("mammoth", matrix) == pytest.approx(0.40008, abs=1e-12)


def test_continuum_prints_no_rounding_error_for_zero() -> None:
    """The drops .3 − .1 and .4 − .6 cancel, but for the last digit of a float."""
    matrix = triangle([0.3], [0.3, 0.4], [0.3, 0.4, 0.5], [0.1, 0.6, 0.5, 0.5])
    assert str(by("continuum", matrix)) == "0.0"


@pytest.mark.parametrize(("matrix", "tasks"), [(FOUR, 4), (THREE, 3), (FULL, 3)])
def test_mer_averages_transfer_over_all_tasks(matrix: Matrix, tasks: int) -> None:
    ours = backward_transfer(matrix)
    assert ours is not None
    assert BTI.compute(matrix) == pytest.approx(ours * (tasks - 1) / tasks)
    assert CATALOGUE[BTI.name] is BTI
    assert BTI.compute([[None, None], [0.5, None], [None, 0.5]]) is None


def test_undefined_cells_and_single_tasks() -> None:
    single: Matrix = [[None], [0.5]]
    for library in DIALECTS:
        assert by(library, single) is None
    broken: Matrix = [[None, None], [None, None], [0.5, 0.6]]
    assert by("mammoth", broken) is None
    assert by("continuum", triangle([0.9], [0.5, 0.8])) == 0


@given(
    st.integers(2, 5).flatmap(
        lambda n: st.lists(
            st.lists(st.floats(0, 1), min_size=n, max_size=n), min_size=n + 1, max_size=n + 1
        )
    )
)
def test_mammoth_is_never_below_ours(matrix: list[list[float | None]]) -> None:
    theirs, ours = by("mammoth", matrix), forgetting(matrix)
    assert theirs is not None
    assert ours is not None
    assert theirs >= max(ours, 0) - 1e-12
