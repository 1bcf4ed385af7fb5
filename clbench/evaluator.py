"""The evaluator: owns the loop over experiences and every evaluation, on whatever device it is given."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from clbench.errors import ClbenchError, NonFiniteLossError
from clbench.strategy import Strategy
from clbench.stream import Stream, masked

CHUNK = 2048
"""Test samples per call of `predict`."""

Row = list[float | None]
BadStep = tuple[int, Tensor]
"""Steps of the experience before a piece of it, and the piece's first step with a non-finite loss (−1 if none)."""


class Progress(Protocol):
    """Whoever wants to show how far a run is."""

    def step(self) -> None:
        """A training step was taken."""

    def experience(self, learnt: int, of: int, row: Row) -> None:
        """A row of the matrix is filled."""


class Silent:
    """Shows nothing."""

    def step(self) -> None:
        """Do nothing."""

    def experience(self, learnt: int, of: int, row: Row) -> None:
        """Do nothing."""


@dataclass
class Outcome:
    """What an evaluation leaves: the matrix and the time it took."""

    matrix: list[Row] = field(default_factory=list)
    train_seconds: float = 0.0
    eval_seconds: float = 0.0


def run_stream(
    stream: Stream, strategy: Strategy, outcome: Outcome, progress: Progress | None = None
) -> None:
    """Let the strategy learn the stream and fill the matrix, row by row.

    Args:
        stream: The experiences and test sets.
        strategy: Set up for ``stream.info`` already.
        outcome: Filled as the run goes on, so that a failed run keeps its rows.
        progress: Told of every step and row.

    Raises:
        NonFiniteLossError: A loss became NaN or infinite; found at the end of its experience.
        ClbenchError: Predictions are NaN.
    """
    progress = progress or Silent()
    strategy.on_step = progress.step
    clock = _Clock(stream.info.device)
    bad_steps: list[BadStep] = []
    for learnt in range(len(stream) + 1):
        if learnt:
            bad_steps = _learn(stream, strategy, learnt - 1)
            outcome.train_seconds += clock.lap()
        row = _fill_row(stream, strategy, learnt, bad_steps)
        outcome.matrix.append(row)
        outcome.eval_seconds += clock.lap()
        progress.experience(learnt, len(stream), row)


def _learn(stream: Stream, strategy: Strategy, index: int) -> list[BadStep]:
    """Let the strategy learn an experience, in the pieces in which it is delivered."""
    begun = strategy.effort.steps
    bad_steps = []
    for experience in stream.deliver(index):
        before = strategy.effort.steps - begun
        strategy.learn(experience)
        step = strategy.first_bad_step()
        if step is not None:
            bad_steps.append((before, step))
    return bad_steps


@torch.no_grad()
def _fill_row(stream: Stream, strategy: Strategy, learnt: int, bad_steps: list[BadStep]) -> Row:
    """Return one row of the matrix: one pass over the union of the test sets, one synchronisation."""
    tasks = len(stream)
    defined = stream.defined_tasks(learnt)
    device = stream.info.device
    correct = torch.zeros(tasks, dtype=torch.int64, device=device)
    broken = torch.zeros(1, dtype=torch.int64, device=device)
    test = stream.test_set(defined)
    masks = stream.test_masks(learnt)
    for start in range(0, len(test.y) if defined else 0, CHUNK):
        part = slice(start, start + CHUNK)
        task = test.task[part]
        told = task if stream.info.tells_task else None
        logits = strategy.predict(test.x[part].clone(), told)  # a copy: the test set stays as it is
        _check_shape(logits, len(task), stream.info.classes)
        # Only a masked unit may have −∞, so that it never wins, whatever the others' scores.
        finite = logits.clamp_min(torch.finfo(logits.dtype).min)
        hit = masked(finite, masks[task]).argmax(1) == test.y[part]
        correct.index_add_(0, task, hit.long())
        broken += logits.isnan().any()
    flags = [step.view(1) for _, step in bad_steps]
    numbers = torch.cat([correct, broken, *flags]).tolist()  # the one synchronisation
    hits, (nan, *bad) = numbers[:tasks], numbers[tasks:]
    for (before, _), step in zip(bad_steps, bad, strict=True):
        if step >= 0:
            raise NonFiniteLossError(experience=learnt - 1, step=before + step)
    if nan:
        raise ClbenchError(f"predictions became NaN after {learnt} experiences")
    counts = stream.test_counts
    return [hits[j] / counts[j] if j < defined else None for j in range(tasks)]


def _check_shape(logits: Tensor, samples: int, classes: int) -> None:
    if not isinstance(logits, Tensor) or logits.shape != (samples, classes):
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ClbenchError(
            f"predict must return logits of shape [N, C] = ({samples}, {classes}), not {given}"
        )


class _Clock:
    """Lap times that wait for the device's queue where it has one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        return seconds
