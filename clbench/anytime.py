"""Any-time evaluation: accuracy while an experience is being learnt, and metrics of it.

A trace is a list of points, each ``{"experience": i, "step": s, "accuracy": [A₁ … Aᵢ]}``: the accuracy on every task
seen so far after s steps of experience i (counted from 1). Every experience has a point at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from clbench.metrics import Metric

Point = dict[str, Any]
Trace = Sequence[Point]


def average_anytime_accuracy(trace: Trace) -> float | None:
    """Return the mean over all points of the mean accuracy on the tasks seen so far."""
    return fmean(fmean(point["accuracy"]) for point in trace) if trace else None


def min_accuracy(trace: Trace) -> float | None:
    """Return the mean over tasks j < T of the least accuracy at any point after task j was learnt."""
    last = _tasks(trace)
    if last < 2:
        return None
    return fmean(
        min(point["accuracy"][j - 1] for point in trace if point["experience"] > j)
        for j in range(1, last)
    )


def worst_case_accuracy(trace: Trace) -> float | None:
    """Return (1/T) · final accuracy on task T + (1 − 1/T) · min accuracy."""
    least, last = min_accuracy(trace), _tasks(trace)
    if least is None:
        return None
    final: float = trace[-1]["accuracy"][-1]
    return final / last + (1 - 1 / last) * least


def stability_gap(trace: Trace) -> float | None:
    """Return the mean over experiences i > 1 and tasks j < i of accuracy before i minus the least within i."""
    gaps = []
    for i in range(2, _tasks(trace) + 1):
        before = [p["accuracy"] for p in trace if p["experience"] == i - 1][-1]
        within = [p["accuracy"] for p in trace if p["experience"] == i]
        gaps += [before[j] - min(a[j] for a in within) for j in range(i - 1)]
    return fmean(gaps) if gaps else None


def _tasks(trace: Trace) -> int:
    return int(trace[-1]["experience"]) if trace else 0


_DE_LANGE = "De Lange et al. 2023, ICLR"

METRICS: dict[str, Metric[Trace]] = {
    metric.name: metric
    for metric in (
        Metric(
            "average_anytime_accuracy",
            "mean over all points (--eval-every) of the mean accuracy on tasks seen so far",
            "Caccia et al. 2022, ICLR",
            average_anytime_accuracy,
        ),
        Metric(
            "min_accuracy",
            "mean over j < T of the least accuracy at any point after task j was learnt",
            _DE_LANGE,
            min_accuracy,
        ),
        Metric(
            "worst_case_accuracy",
            "final accuracy on task T / T, plus (1 − 1/T) · min_accuracy",
            _DE_LANGE,
            worst_case_accuracy,
        ),
        Metric(
            "stability_gap",
            "mean over experiences and earlier tasks of accuracy before minus the least within",
            _DE_LANGE,
            stability_gap,
            higher_is_better=False,
        ),
    )
}
