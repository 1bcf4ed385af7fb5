"""Statistics over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mean_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the half-width of its 95 % t interval (None for a single value)."""
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return mean, None
    from scipy.special import stdtrit

    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, float(stdtrit(count - 1, 0.975)) * math.sqrt(variance / count)
