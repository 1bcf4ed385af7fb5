from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.statistics import mean_interval


def test_no_interval_from_one_value() -> None:
    assert mean_interval([0.5]) == (0.5, None)


def test_against_a_table_of_t_quantiles() -> None:
    """Student's t, 97.5 %: 12.7062 for 1 degree of freedom, 2.2622 for 9."""
    mean, half = mean_interval([1.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(12.7062, abs=1e-4)
    mean, half = mean_interval([float(i) for i in range(10)])
    assert mean == 4.5
    assert half == pytest.approx(2.26216 * 3.02765 / 10**0.5, abs=1e-4)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.floats(-5, 5))
def test_a_shift_moves_the_mean_and_keeps_the_width(values: list[float], shift: float) -> None:
    mean, half = mean_interval(values)
    moved, same = mean_interval([value + shift for value in values])
    assert moved == pytest.approx(mean + shift, abs=1e-9)
    assert same == pytest.approx(half, abs=1e-6)
