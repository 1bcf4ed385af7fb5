"""Metrics: pure functions of the accuracy matrix R; every one names its definition and its paper.

R has T+1 rows and T columns. Row 0 is before training, row i after experience i; column j is the test set of task j.
R[i][j] is a fraction, or None where it is not defined. A metric that needs an undefined cell is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Matrix = Sequence[Sequence[float | None]]


M = TypeVar("M")


@dataclass(frozen=True)
class Metric(Generic[M]):
    """A named metric, of the accuracy matrix or of an any-time trace."""

    name: str
    definition: str
    paper: str
    compute: Callable[[M], float | None]
    higher_is_better: bool = True


def _mean(terms: Iterable[float | None]) -> float | None:
    """Return the mean; None if there is no term or one is undefined."""
    values = list(terms)
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _max(terms: Iterable[float | None]) -> float | None:
    values = list(terms)
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _tasks(matrix: Matrix) -> int:
    """Return T.

    Raises:
        ValueError: The matrix is not (T+1) × T.
    """
    count = len(matrix) - 1
    if count < 1 or any(len(row) != count for row in matrix):
        raise ValueError(f"the accuracy matrix must be (T+1) × T, not {[len(r) for r in matrix]}")
    return count


def average_accuracy(matrix: Matrix) -> float | None:
    """Return (1/T) Σⱼ R[T,j]."""
    return _mean(matrix[_tasks(matrix)])


def average_incremental_accuracy(matrix: Matrix) -> float | None:
    """Return (1/T) Σᵢ (1/i) Σ_{j≤i} R[i,j]."""
    return _mean(_mean(matrix[i][:i]) for i in range(1, _tasks(matrix) + 1))


def learning_accuracy(matrix: Matrix) -> float | None:
    """Return (1/T) Σⱼ R[j,j]."""
    return _mean(matrix[j][j - 1] for j in range(1, _tasks(matrix) + 1))


def forgetting(matrix: Matrix) -> float | None:
    """Return the mean over j<T of max_{j≤l<T} R[l,j] − R[T,j]; may be negative."""
    return _forgetting(matrix, lambda j: j)


def forgetting_all_rows(matrix: Matrix) -> float | None:
    """Return the same with the maximum over all rows 1…T−1, also before task j was learnt."""
    return _forgetting(matrix, lambda _: 1)


def _forgetting(matrix: Matrix, first_row: Callable[[int], int]) -> float | None:
    last = _tasks(matrix)
    return _mean(
        _minus(_max(matrix[i][j - 1] for i in range(first_row(j), last)), matrix[last][j - 1])
        for j in range(1, last)
    )


def forgetting_first(matrix: Matrix) -> float | None:
    """Return the mean over j<T of R[j,j] − R[T,j]."""
    transfer = backward_transfer(matrix)
    return None if transfer is None else 0.0 - transfer  # −0.0 would be printed so


def backward_transfer(matrix: Matrix) -> float | None:
    """Return the mean over j<T of R[T,j] − R[j,j]."""
    last = _tasks(matrix)
    return _mean(_minus(matrix[last][j - 1], matrix[j][j - 1]) for j in range(1, last))


def forward_transfer(matrix: Matrix) -> float | None:
    """Return the mean over j≥2 of R[j−1,j] − R[0,j]."""
    last = _tasks(matrix)
    return _mean(_minus(matrix[j - 1][j - 1], matrix[0][j - 1]) for j in range(2, last + 1))


_LOPEZ = "Lopez-Paz & Ranzato 2017, NeurIPS (GEM)"
_CHAUDHRY = "Chaudhry et al. 2018, ECCV (RWalk), eq. 3"

METRICS: dict[str, Metric[Matrix]] = {
    metric.name: metric
    for metric in (
        Metric("average_accuracy", "mean of R[T,j] over all tasks j", _LOPEZ, average_accuracy),
        Metric(
            "average_incremental_accuracy",
            "mean over i of the mean of R[i,j] over j ≤ i",
            "Rebuffi et al. 2017, CVPR (iCaRL)",
            average_incremental_accuracy,
        ),
        Metric(
            "learning_accuracy",
            "mean of R[j,j]: right after each task was learnt",
            "Riemer et al. 2019, ICLR (MER)",
            learning_accuracy,
        ),
        Metric(
            "forgetting",
            "mean over j < T of max over rows j…T−1 of R[l,j], minus R[T,j]; never clamped",
            _CHAUDHRY,
            forgetting,
            higher_is_better=False,
        ),
        Metric(
            "forgetting_all_rows",
            "the same with the maximum over rows 1…T−1",
            "as in the A-GEM code (Chaudhry et al. 2019, ICLR)",
            forgetting_all_rows,
            higher_is_better=False,
        ),
        Metric(
            "forgetting_first",
            "mean over j < T of R[j,j] − R[T,j]",
            "as Avalanche 0.6 (Lomonaco et al. 2021, CVPR workshops)",
            forgetting_first,
            higher_is_better=False,
        ),
        Metric(
            "backward_transfer", "mean over j < T of R[T,j] − R[j,j]", _LOPEZ, backward_transfer
        ),
        Metric(
            "forward_transfer", "mean over j ≥ 2 of R[j−1,j] − R[0,j]", _LOPEZ, forward_transfer
        ),
    )
}


def compute_all(matrix: Matrix) -> dict[str, float | None]:
    """Return every metric of a matrix."""
    return {name: metric.compute(matrix) for name, metric in METRICS.items()}
