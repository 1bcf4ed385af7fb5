"""Training and evaluation on Split MNIST, clbench against a bare torch loop.

Both start from the same weights, take the same batches in the same order and evaluate after each experience (and
before the first) on the test sets of all five; the accuracies must agree. Building stream, network and optimiser is
off the clock on both sides; clbench gathers and normalises an experience on the clock, the bare loop's is ready.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tests.benchmarks.bare import bare_side
from tests.benchmarks.measure import Figure, Settings, alternate
from tests.benchmarks.row import Goal, Row
from tests.benchmarks.split import agree, clbench_side, work_of


def measure(settings: Settings, batch_size: int, *, capture: bool = False) -> Figure:
    """Return clbench's time over the bare loop's."""
    work = work_of(settings, batch_size)
    sides = clbench_side(replace(work, capture=capture)), bare_side(work)
    compared = alternate(*sides, settings.repeats, settings.device)
    return compared.figure(agree(*compared.results))


WHAT = "training + evaluation, Split MNIST class-incremental, MLP 400-400, SGD, batch "
ROWS = tuple(
    Row(
        name=f"loop-{size}",
        what=f"{WHAT}{size}",
        against="a bare torch loop on preloaded tensors",
        goal=Goal(bound),
        measure=partial(measure, batch_size=size),
    )
    for size, bound in ((128, 1.05), (10, 1.15))
)
