"""Rows that need a GPU: many seeds at once (`clbench.together`), and one."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.benchmarks import loop
from tests.benchmarks.avalanche_loop import avalanche_side
from tests.benchmarks.measure import Comparison, Figure, NotRun, Settings, alternate
from tests.benchmarks.row import Goal, Row
from tests.benchmarks.split import agree, clbench_side, together_side, work_of

SEEDS = 10


def on_gpu(settings: Settings) -> Settings:
    """Return the settings for the GPU.

    Raises:
        NotRun: There is none.
    """
    if not torch.cuda.is_available():
        raise NotRun("no CUDA device here")
    return replace(settings, device="cuda")


def one_seed(settings: Settings) -> Figure:
    """Return the eager bare loop's time over clbench's, whose steps are captured."""
    return _turned(loop.measure(on_gpu(settings), batch_size=10, capture=True), 1.0)


def seeds_at_once(settings: Settings) -> Figure:
    """Return the time of ten seeds in step over that of one, both without graphs; with graphs in the note."""
    settings = on_gpu(settings)
    captured = compared(settings, capture=True).figure("")
    note = f"{captured.value:.2f}× where the steps of both are captured"
    return _named(compared(settings).figure(note))


def against_avalanche(settings: Settings) -> Figure:
    """Return ten times Avalanche's time of one seed over that of ten seeds in step, whose steps are captured."""
    settings = on_gpu(settings)
    work = work_of(settings, batch_size=128)
    sides = together_side(replace(work, capture=True), SEEDS), avalanche_side(work)
    both = alternate(*sides, settings.repeats, settings.device)
    return _turned(both.figure(agree(*both.results)), SEEDS)


def compared(settings: Settings, *, capture: bool = False) -> Comparison:
    """Return ten seeds in step beside one seed alone, whose matrices agree."""
    work = replace(work_of(settings, batch_size=128), capture=capture)
    sides = together_side(work, SEEDS), clbench_side(work)
    both = alternate(*sides, settings.repeats, settings.device)
    agree(*both.results)
    return both


def _turned(figure: Figure, times: float) -> Figure:
    """Return the second side over the first, so many times."""
    value, low, high = (times / each for each in (figure.value, figure.high, figure.low))
    return _named(replace(figure, value=value, low=low, high=high))


def _named(figure: Figure) -> Figure:
    figure.details.pop("processor_ratio", None)  # which counts waiting for the GPU as work
    return replace(figure, note=f"{figure.note}; {torch.cuda.get_device_name()}")


ROWS = (
    Row(
        name="gpu-seeds",
        what=f"GPU: {SEEDS} seeds at once",
        against="one seed",
        goal=Goal(1.5),
        measure=seeds_at_once,
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
        what=f"GPU: {SEEDS} seeds, Split MNIST, batch 128",
        against=f"Avalanche's loop, {SEEDS} seeds one after another, same GPU",
        goal=Goal(50.0, at_least=True, unit="× faster"),
        measure=against_avalanche,
    ),
)
