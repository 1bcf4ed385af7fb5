"""Rows that need a GPU; those about many seeds at once wait for that feature."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NoReturn

import torch

from tests.benchmarks import loop
from tests.benchmarks.measure import Figure, NotRun, Settings
from tests.benchmarks.row import Goal, Row


def one_seed(settings: Settings) -> Figure:
    """Return the eager bare loop's time over clbench's, both on the GPU."""
    if not torch.cuda.is_available():
        raise NotRun("no CUDA device here")
    figure = loop.measure(replace(settings, device="cuda"), batch_size=10)
    note = f"{figure.note}; {torch.cuda.get_device_name()}"
    return Figure(1 / figure.value, 1 / figure.high, 1 / figure.low, note, figure.details)


def not_there_yet(_: Settings, feature: str) -> NoReturn:
    """Refuse to measure what clbench cannot do."""
    raise NotRun(f"not there yet: {feature}")


_seeds = partial(not_there_yet, feature="several seeds at once")
ROWS = (
    Row(
        name="gpu-seeds",
        what="GPU: 10 seeds at once",
        against="one seed",
        goal=Goal(1.5),
        measure=_seeds,
    ),
    Row(
        name="gpu-loop-10",
        what="GPU: one seed, batch 10",
        against="the eager bare loop on the same GPU",
        goal=Goal(2.0, at_least=True, unit="× faster"),
        measure=one_seed,
    ),
    Row(
        name="gpu-avalanche",
        what="GPU: 10 seeds, Split MNIST, batch 128",
        against="Avalanche's loop, 10 seeds one after another, same GPU",
        goal=Goal(50.0, at_least=True, unit="× faster"),
        measure=_seeds,
    ),
)
