"""Two sides of a comparison, timed in turn in one run: medians, and how far the single pairs are apart."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

Side = Callable[[], Callable[[], Any]]
"""Prepares, off the clock, and returns what is timed; that returns its results."""


@dataclass(frozen=True)
class Settings:
    """How a row is measured."""

    repeats: int = 5
    quick: bool = False
    """Sizes for a smoke test: the figures mean nothing."""
    device: str = "cpu"


class NotRun(Exception):  # noqa: N818 (it is an outcome, not an error)
    """A row cannot be measured here; says why."""


@dataclass(frozen=True)
class Figure:
    """What a row came to."""

    value: float
    low: float
    """Least of the repeats."""
    high: float
    note: str = ""
    """What else there is to say, in a few words."""
    details: dict[str, Any] = field(default_factory=dict)
    """Plain values for the result file."""


@dataclass(frozen=True)
class Comparison:
    """Times of two sides, pair by pair, and what each side returned last."""

    wall: list[tuple[float, float]]
    """Seconds of the clock."""
    processor: list[tuple[float, float]]
    """Seconds of processor time of this process and those it waited for, which others disturb less."""
    results: tuple[Any, Any]

    def figure(self, note: str = "") -> Figure:
        """Return the first side's median time over the second's, with the least and largest of a pair."""
        ratios = [first / second for first, second in self.wall]
        ours, theirs = map(median, zip(*self.wall, strict=True))
        details = {
            "seconds": [round(ours, 5), round(theirs, 5)],
            "processor_ratio": round(ratio_of_medians(self.processor), 4),
            "pairs": [[round(a, 5), round(b, 5)] for a, b in self.wall],
        }
        return Figure(ours / theirs, min(ratios), max(ratios), note, details)


def ratio_of_medians(pairs: list[tuple[float, float]]) -> float:
    """Return the median of the first over that of the second."""
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    return median(first) / median(second)


def alternate(first: Side, second: Side, repeats: int, device: str = "cpu") -> Comparison:
    """Time two sides in turn, each first as often as the other."""
    wall, processor, results = [], [], [None, None]
    sides = (first, second)
    if device != "cpu":  # a GPU loads its kernels when they are first asked for
        for side in sides:
            side()()
    for repeat in range(repeats):
        seconds, busy = [0.0, 0.0], [0.0, 0.0]
        for at in (0, 1) if repeat % 2 == 0 else (1, 0):
            run = sides[at]()
            seconds[at], busy[at], results[at] = timed(run, device)
        wall.append((seconds[0], seconds[1]))
        processor.append((busy[0], busy[1]))
    return Comparison(wall, processor, (results[0], results[1]))


def timed(run: Callable[[], Any], device: str = "cpu") -> tuple[float, float, Any]:
    """Return seconds of the clock and of the processor, and what ``run`` returned."""
    gc.collect()
    _wait(device)
    wall, busy = time.perf_counter(), _processor_time()
    result = run()
    _wait(device)
    return time.perf_counter() - wall, _processor_time() - busy, result


def _processor_time() -> float:
    of = os.times()
    return time.process_time() + of.children_user + of.children_system


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def peak_bytes() -> int | None:
    """Return the most memory this process has held since its program began or `forget_peak` was called.

    `getrusage` would also count what the parent held when it started the process. None on other systems than Linux.
    """
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return None
    (kibibytes,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return kibibytes * 1024


def forget_peak() -> None:
    """Let the peak begin here, where the system can be asked to."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")
