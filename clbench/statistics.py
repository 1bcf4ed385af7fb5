"""Statistics over seeds: intervals, paired tests, corrections, outliers, components of variance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = Literal["t", "bootstrap", "iqm"]

LEVEL = 0.05
"""Of every test; an interval covers 1 − LEVEL."""
EXACT_FROM, EXACT_TO = 8, 24
"""Numbers of differences for which the sign-flip test is used: fewer have too few sign patterns, more take too long."""
RESAMPLES = 10_000
OUTLIER_Z = 3.5
OUTLIER_LEAST = 0.01
OUTLIERS_FROM = 5
"""Values below which no outlier is looked for."""


@dataclass(frozen=True)
class Estimate:
    """A centre and its interval; no interval from a single value."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class PValue:
    """A two-sided p-value and the test it comes from."""

    p: float
    test: Literal["exact sign-flip", "paired t"]


def mean_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the half-width of its 95 % t interval (None for a single value)."""
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return mean, None
    from scipy.special import stdtrit

    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, float(stdtrit(count - 1, 1 - LEVEL / 2)) * math.sqrt(variance / count)


def estimate(values: Sequence[float], interval: Interval = "t") -> Estimate:
    """Return the centre of at least one value with its 95 % interval.

    Args:
        values: One per seed.
        interval: ``t``: mean and t interval. ``bootstrap``: mean and percentile bootstrap. ``iqm``: interquartile mean
            and percentile bootstrap (Agarwal et al. 2021, NeurIPS). Resamples are drawn by a fixed seed.
    """
    count = len(values)
    if interval == "t":
        mean, half = mean_interval(values)
        low, high = (None, None) if half is None else (mean - half, mean + half)
        return Estimate(mean, low, high, count)
    data = np.asarray(values, dtype=np.float64)
    centre = float(_centre(data, interval))
    if count < 2:
        return Estimate(centre, None, None, count)
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    low, high = np.quantile(_centre(data[drawn], interval), [LEVEL / 2, 1 - LEVEL / 2])
    return Estimate(centre, float(low), float(high), count)


def _centre(data: Floats, interval: Interval) -> Floats:
    """Return the mean or the interquartile mean over the last axis.

    The latter is `scipy.stats.trim_mean` with 0.25, without the second that importing `scipy.stats` takes.
    """
    if interval == "iqm":
        cut = data.shape[-1] // 4
        data = np.sort(data, -1)[..., cut : data.shape[-1] - cut]
    return np.asarray(data.mean(-1))


def paired_test(differences: Sequence[float], comparisons: int = 1) -> PValue | None:
    """Test that the mean of paired differences is 0; None for fewer than two.

    From 8 to 24 differences the exact sign-flip test (Fisher 1935), else the paired t test. The latter also where
    Holm's correction would lift the least exact p-value, 2/2ⁿ, above 5 %, which would make every row look level. Where
    all differences are equal, t is infinite and p is 0, or 1 if they are 0.

    Args:
        differences: One per seed.
        comparisons: How many tests `holm` will correct for.
    """
    data = np.asarray(differences, dtype=np.float64)
    count = len(data)
    if count < 2:
        return None
    if EXACT_FROM <= count <= EXACT_TO and comparisons * 2.0 ** (1 - count) <= LEVEL:
        return PValue(_sign_flip(data), "exact sign-flip")
    if np.ptp(data) <= 1e-12:  # equal but for rounding
        return PValue(float(abs(data[0]) <= 1e-12), "paired t")
    from scipy.special import stdtr

    t = data.mean() / (data.std(ddof=1) / math.sqrt(count))
    return PValue(float(2 * stdtr(count - 1, -abs(t))), "paired t")


def _sign_flip(data: Floats) -> float:
    """Return the share of the 2ⁿ sign patterns whose sum is as far from 0 as the observed one.

    The sums of both halves are made and matched by bisection: 2^(n/2) of them instead of 2ⁿ.
    """
    threshold = abs(data.sum()) - 1e-9 * np.abs(data).sum()  # ties differ by rounding only
    if threshold <= 0:
        return 1.0
    half = len(data) // 2
    first, second = _signed_sums(data[:half]), np.sort(_signed_sums(data[half:]))
    above = len(second) - np.searchsorted(second, threshold - first)
    return int(above.sum()) * 2.0 ** (1 - len(data))  # the sums are symmetric around 0


def _signed_sums(data: Floats) -> Floats:
    sums = np.zeros(1)
    for value in data:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted for their number (Holm 1979); None, an untested one, counts for nothing."""
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[index] = largest
    return adjusted


def outliers(values: Sequence[float]) -> list[int]:
    """Return the positions of fractions whose modified z-score is beyond 3.5 (Iglewicz & Hoaglin 1993).

    z = 0.6745 (x − median) / MAD; where more than half of the values are equal, so that MAD is 0, the mean absolute
    deviation × 1.2533 scales instead. What lies within 0.01 of the median is no outlier: of seeds that hardly differ,
    the rule would flag several. Fewer than 5 values have none.
    """
    data = np.asarray(values, dtype=np.float64)
    if len(data) < OUTLIERS_FROM:
        return []
    distance = np.abs(data - np.median(data))
    scale = np.median(distance) / 0.6745 or distance.mean() * 1.2533
    far = (distance > OUTLIER_Z * scale) & (distance > OUTLIER_LEAST)
    return [int(position) for position in np.flatnonzero(far)]


def crossed_deviations(grid: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the standard deviation due to the rows of a crossed design, and that due to all else.

    Two random factors without replication: with the mean squares of the analysis of variance, rows have the variance
    (MS_rows − MS_rest)/columns, all else (MS_columns − MS_rest)/rows + MS_rest; a negative component counts as 0
    (Searle, Casella & McCulloch 1992, ch. 4).

    Args:
        grid: At least 2 × 2: a row per class order, a column per setting of the other seeds.
    """
    data = np.asarray(grid, dtype=np.float64)
    rows, columns = data.shape
    by_row, by_column = data.mean(1), data.mean(0)
    rest = data - by_row[:, None] - by_column + data.mean()
    ms_rest = float((rest**2).sum()) / ((rows - 1) * (columns - 1))
    row_part = max(0.0, float(by_row.var(ddof=1)) - ms_rest / columns)
    column_part = max(0.0, float(by_column.var(ddof=1)) - ms_rest / rows)
    return math.sqrt(row_part), math.sqrt(column_part + ms_rest)
