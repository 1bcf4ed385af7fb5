"""The evaluation of one row of the matrix, against one forward pass over the union of the test sets.

The pass is the least that an evaluation needs: normalised float32 images that are ready, in chunks of the same size,
and the argmax. The row's own work is beside that: normalising the stored images, masks, hits of each task.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from clbench.scoring import CHUNK, Row, fill_row
from tests.benchmarks import row
from tests.benchmarks.measure import Figure, Settings, alternate
from tests.benchmarks.split import Work, work_of

TIMES = 10
"""Rows in one timing."""


def measure(settings: Settings) -> Figure:
    """Return the time of a row over that of a forward pass."""
    work = work_of(settings, 128)
    compared = alternate(_row(work), _pass(work), settings.repeats, settings.device)
    row, passed = compared.results
    assert abs(sum(row) / len(row) - passed) < 0.02  # the mean over tasks, and over samples
    return compared.figure()


def _row(work: Work) -> Callable[[], Callable[[], Row]]:
    def ready() -> Callable[[], Row]:
        stream, strategy = work.learner()
        fill_row(stream, strategy, len(stream), [])

        def run() -> Row:
            return [fill_row(stream, strategy, len(stream), []) for _ in range(TIMES)][-1]

        return run

    return ready


def _pass(work: Work) -> Callable[[], Callable[[], float]]:
    def ready() -> Callable[[], float]:
        stream, strategy = work.learner()
        test = stream.test_set(len(stream))
        x, network = stream.info.normalise(test.x), strategy.network.eval()

        @torch.no_grad()
        def run() -> float:
            for _ in range(TIMES):
                answers = torch.cat([network(part).argmax(1) for part in torch.split(x, CHUNK)])
            return float((answers == test.y).float().mean())

        return run

    return ready


ROWS = (
    row.Row(
        name="evaluation",
        what="evaluation of a row, MNIST, MLP 400-400",
        against="one forward pass over the union of the test sets",
        goal=row.Goal(1.1),
        measure=measure,
    ),
)
