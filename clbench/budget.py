"""What a run has cost: time, steps, samples, memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from clbench.counts import natural, steps_of
from clbench.evaluator import Outcome
from clbench.strategy import Strategy


def budget(strategy: Strategy | None, outcome: Outcome, device: str) -> dict[str, Any]:
    """Return seconds, steps, samples, parameters and bytes; zeros where a run failed before its first row.

    ``peak_process_bytes`` is the most the process has held so far, earlier runs of the same process included (None on
    a system that does not tell); ``peak_device_bytes`` is CUDA's peak since the run began, None on other devices.

    Raises:
        ClbenchError: What the strategy says of itself is no whole number from 0 on.
    """
    spent: dict[str, Any] = {
        "train_seconds": round(outcome.train_seconds, 4),
        "eval_seconds": round(outcome.eval_seconds, 4),
        "steps": 0,
        "samples_seen": 0,
        "memory_examples": 0,
        "memory_bytes": 0,
        "working_bytes": 0,
        "parameters": 0,
    }
    if strategy is not None and outcome.matrix:
        seen = strategy.effort.samples_seen
        spent["steps"] = steps_of(strategy)
        spent["samples_seen"] = natural(seen, "effort.samples_seen", type(strategy))
        spent["memory_examples"] = len(strategy.memory) if strategy.memory is not None else 0
        spent["memory_bytes"] = _told(strategy.memory_bytes)
        spent["working_bytes"] = _told(strategy.working_bytes)
        spent["parameters"] = _told(strategy.parameter_count)
    spent["peak_process_bytes"] = _peak_process_bytes()
    cuda = torch.device(device).type == "cuda"
    spent["peak_device_bytes"] = torch.cuda.max_memory_allocated(device) if cuda else None
    return spent


def _told(method: Callable[[], Any]) -> int:
    return natural(method(), f"what {method.__name__} returns", method)


def start_counting(device: str) -> None:
    """Let the device's peak begin here."""
    if torch.device(device).type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # "cuda:0" would ask what is not there yet
        torch.cuda.reset_peak_memory_stats(device)


def _peak_process_bytes() -> int | None:
    """Return the most this process has held; on Linux without what its parent held when it was started."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
