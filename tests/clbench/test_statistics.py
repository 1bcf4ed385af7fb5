from __future__ import annotations

import operator
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from clbench.statistics import (
    Interval,
    PValue,
    crossed_deviations,
    estimate,
    holm,
    mean_interval,
    outliers,
    paired_test,
)


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


def test_estimates_of_each_kind() -> None:
    values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.0]
    mean = estimate(values, "t")
    low, high = stats.t.interval(0.95, 7, np.mean(values), stats.sem(values))
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.35, low, high))
    uneven = [0.113, 0.192, 0.318, 0.377, 0.531, 0.604, 0.789, 0.047]
    resampled = estimate(uneven, "bootstrap")
    expected = stats.bootstrap((uneven,), np.mean, method="percentile").confidence_interval
    assert resampled.value == pytest.approx(np.mean(uneven))
    assert (resampled.low, resampled.high) == pytest.approx(tuple(expected), abs=0.01)
    assert resampled == estimate(uneven, "bootstrap")
    assert estimate(values, "iqm").value == pytest.approx((0.2 + 0.3 + 0.4 + 0.5) / 4)
    for count in range(1, 8):
        trimmed = stats.trim_mean(uneven[:count], 0.25)
        assert estimate(uneven[:count], "iqm").value == pytest.approx(trimmed)


@pytest.mark.parametrize("interval", ["t", "bootstrap", "iqm"])
def test_one_value_has_no_interval_and_equal_values_have_one_of_no_width(
    interval: Interval,
) -> None:
    alone = estimate([0.5], interval)
    assert (alone.value, alone.low, alone.high, alone.n) == (0.5, None, None, 1)
    same = estimate([0.3] * 4, interval)
    assert (same.value, same.low, same.high) == pytest.approx((0.3, 0.3, 0.3))


def test_the_interquartile_mean_does_not_see_a_collapsed_seed() -> None:
    values = [0.80, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.87]
    assert estimate([0.1, *values[1:]], "iqm").value == estimate(values, "iqm").value


def test_paired_t_below_eight_and_above_twenty_four() -> None:
    for values in ([0.01, 0.03, -0.01, 0.02], [0.01 * ((7 * i) % 11 - 3) for i in range(25)]):
        found = paired_test(values)
        assert found is not None
        assert found.test == "paired t"
        assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_sign_flips_by_hand() -> None:
    """Eight positive differences: only they and their mirror image are as extreme, 2 of 256."""
    found = paired_test([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08])
    assert found == PValue(2 / 256, "exact sign-flip")
    assert paired_test([1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.0, 0.0]) == PValue(1, "exact sign-flip")


def test_the_exact_test_stands_back_where_it_could_never_reject() -> None:
    """With 8 differences its least p is .0078: 6 comparisons fit into 5 %, 7 do not."""
    values = [0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17]
    six, seven = paired_test(values, 6), paired_test(values, 7)
    assert six is not None
    assert seven is not None
    assert (six.test, seven.test) == ("exact sign-flip", "paired t")
    assert 7 * seven.p < 0.05


@given(st.lists(st.integers(-5, 5), min_size=8, max_size=12))
def test_sign_flips_equal_the_whole_enumeration(values: list[int]) -> None:
    """Small integers make ties, which count as extreme as what was observed."""
    sums = [abs(sum(map(operator.mul, values, s))) for s in product((1, -1), repeat=len(values))]
    share = sum(total >= abs(sum(values)) for total in sums) / len(sums)
    found = paired_test([0.01 * value for value in values])
    assert found is not None
    assert found.p == pytest.approx(share)


def test_differences_without_variance() -> None:
    """t is infinite; rounding must not make it finite, nor 0 differences significant."""
    assert paired_test([0.1]) is None
    assert paired_test([]) is None
    assert paired_test([0.1, 0.1, 0.1]) == PValue(0.0, "paired t")
    assert paired_test([0.8 - 0.7, 0.1, 0.3 - 0.2]) == PValue(0.0, "paired t")
    assert paired_test([0.3 - 0.2 - 0.1, 0.0, 0.0]) == PValue(1.0, "paired t")
    assert paired_test([0.0] * 30) == PValue(1.0, "paired t")
    assert paired_test([0.1] * 8) == PValue(2 / 256, "exact sign-flip")
    assert paired_test([0.3 - 0.2 - 0.1, *[0.0] * 7]) == PValue(1.0, "exact sign-flip")


def test_holm_by_hand() -> None:
    """.005 × 4, .01 × 3, .03 × 2, and .04 no less than that."""
    adjusted = holm([0.01, 0.04, None, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_lowers(values: list[float | None]) -> None:
    adjusted = holm(values)
    pairs = [
        (p, q) for p, q in zip(values, adjusted, strict=True) if p is not None and q is not None
    ]
    assert len(pairs) == sum(p is not None for p in values)
    assert all(p <= q <= 1 for p, q in pairs)
    ordered = [q for _, q in sorted(pairs)]
    assert ordered == sorted(ordered)


def test_outliers_by_hand() -> None:
    """Median .82, MAD .01: z of .70 is .6745 × .12/.01 = 8.1, that of .85 is 2.0."""
    assert outliers([0.80, 0.81, 0.82, 0.83, 0.85, 0.70, 0.82]) == [5]
    assert outliers([0.8, 0.8, 0.8, 0.8, 0.1]) == [4]  # MAD 0: .7 / (1.2533 × .14) = 3.99
    assert outliers([0.8, 0.8, 0.8, 0.8, 0.8, 0.809]) == []  # within .01
    assert outliers([0.8, 0.8, 0.8, 0.1]) == []  # too few to say


def test_deviations_of_a_crossed_design_by_hand() -> None:
    """Rows at ±.1 and columns at ±.2 add up without a rest: sd √(2 × .01), √(2 × .04)."""
    rows, rest = crossed_deviations([[0.2, 0.6], [0.4, 0.8]])
    assert rows == pytest.approx(0.02**0.5)
    assert rest == pytest.approx(0.08**0.5)
    assert crossed_deviations([[0.5, 0.5], [0.5, 0.5]]) == (0.0, 0.0)


def test_deviations_recover_what_was_put_in() -> None:
    generator = np.random.default_rng(0)
    orders, others = generator.normal(0, 3, (400, 1)), generator.normal(0, 1, (1, 300))
    grid = orders + others + generator.normal(0, 2, (400, 300))
    rows, rest = crossed_deviations(grid.tolist())
    assert rows == pytest.approx(3, rel=0.1)
    assert rest == pytest.approx(5**0.5, rel=0.1)
