"""Forgetting and transfer as others would print them for the same matrix: for comparison with their tables, no more.

Read in their sources; where they differ from each other is described in ``docs/comparing.md``.
"""

from __future__ import annotations

from clbench.metrics import (
    Matrix,
    Metric,
    average_accuracy,
    forgetting_first,
    learning_accuracy,
)


def mammoth(matrix: Matrix) -> float | None:
    """Return the mean over j<T of max over all rows, the last among them, minus R[T,j]; unseen cells count as 0."""
    last = len(matrix) - 1
    if last < 2:
        return None
    columns = [[matrix[row][task] for row in range(task + 1, last + 1)] for task in range(last - 1)]
    known = [[cell for cell in column if cell is not None] for column in columns]
    if known != columns:
        return None
    return sum(max(0.0, *column) - column[-1] for column in known) / (last - 1)


def pycil(matrix: Matrix) -> float | None:
    """Return `mammoth` of the accuracies rounded to 0.01 %."""
    return mammoth([[None if cell is None else round(cell, 4) for cell in row] for row in matrix])


def continuum(matrix: Matrix) -> float | None:
    """Return 1/(T−1) Σ_{j≤T−2} (max_{j≤l≤T−2} R[l,j] − R[T,j]): the last two rows and tasks are left out."""
    last = len(matrix) - 1
    if last < 2:
        return None
    total = 0.0
    for task in range(last - 2):
        rows = [matrix[row][task] for row in (*range(task + 1, last - 1), last)]
        known = [cell for cell in rows if cell is not None]
        if len(known) < len(rows):
            return None
        total += max(known[:-1]) - known[-1]
    return round(total / (last - 1), 12) + 0.0  # differences that cancel leave −1e-17, or −0.0


def transfer_interference(matrix: Matrix) -> float | None:
    """Return (1/T) Σⱼ (R[T,j] − R[j,j]) over all T tasks, the last one's zero among them."""
    retained, learnt = average_accuracy(matrix), learning_accuracy(matrix)
    return None if retained is None or learnt is None else retained - learnt


BTI = Metric(
    "backward_transfer_interference",
    "mean over all j of R[T,j] − R[j,j], the zero of j = T among them",
    "BTI of Riemer et al. 2019, ICLR (MER), and Gupta et al. 2020, NeurIPS (La-MAML)",
    transfer_interference,
)

DIALECTS: dict[str, Metric[Matrix]] = {
    library: Metric(f"forgetting_as_{library}", definition, source, compute, higher_is_better=False)
    for library, definition, source, compute in (
        (
            "avalanche",
            "mean over j < T of R[j,j] − R[T,j], as our forgetting_first",
            "StreamForgetting of Avalanche 0.6",
            forgetting_first,
        ),
        (
            "mammoth",
            "mean over j < T of max over rows 1…T, the last included and unseen tasks as 0,"
            " minus R[T,j]; never negative",
            "utils/metrics.py of Mammoth",
            mammoth,
        ),
        (
            "continuum",
            "1/(T−1) times the sum over j ≤ T−2 of max over rows j…T−2 of R[l,j], minus R[T,j]",
            "Continuum 1.2.7; later sources agree with our forgetting",
            continuum,
        ),
        (
            "pycil",
            "mean over j < T of max over rows 1…T, the last included and unseen tasks as 0,"
            " minus R[T,j], on accuracies rounded to 0.01 %; never negative",
            "trainer.py of PyCIL",
            pycil,
        ),
    )
}
