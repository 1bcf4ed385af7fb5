"""Scoring a strategy's answers: hits per task, and one row of the accuracy matrix, by one synchronisation."""

from __future__ import annotations

from statistics import fmean, stdev

import torch
from torch import Tensor

from clbench.blame import defined_at
from clbench.errors import ClbenchError, NonFiniteLossError
from clbench.experience import masked
from clbench.logits import check_logits
from clbench.strategy import Strategy
from clbench.stream import Stream
from clbench.test_sets import TestSet
from clbench.words import counted

CHUNK = 2048
"""Test samples per call of `predict`."""

Row = list[float | None]
BadStep = tuple[int, Tensor]
"""Steps of the experience before a piece of it, and the piece's first step with a non-finite loss (−1 if none)."""


def score(
    stream: Stream, strategy: Strategy, test: TestSet, masks: Tensor, learnt: int
) -> tuple[Tensor, Tensor]:
    """Return the number of hits of each task [T], and [1] whether predictions were broken; both on the device.

    Broken are NaN and +∞, and −∞ for every unit where the task has been learnt.

    Args:
        stream: Of the test set.
        strategy: Who answers.
        test: What it is asked.
        masks: [T, C] bool: the units that compete on each task's test set.
        learnt: Tasks that have been learnt.
    """
    device = stream.info.device
    correct = torch.zeros(len(stream), dtype=torch.int64, device=device)
    broken = torch.zeros(1, dtype=torch.int64, device=device)
    for x, y, task in test.chunks(CHUNK):
        told = task if stream.info.tells_task else None
        logits = strategy.predict(x, told)
        shape = (len(task), stream.info.classes)
        check_logits(logits, strategy.predict, shape, "[N, C]", y.device)
        # Only a masked unit may have −∞, so that it never wins, whatever the others' scores.
        finite = logits.clamp_min(torch.finfo(logits.dtype).min)
        hit = masked(finite, masks[task]).argmax(1) == y
        correct.index_add_(0, task, hit.long())
        top = logits.amax(1)  # NaN where there is one
        knows_nothing = (top == -torch.inf) & (task < learnt)
        broken += (~(top < torch.inf) | knows_nothing).any()
    return correct, broken


@torch.no_grad()
def fill_row(stream: Stream, strategy: Strategy, learnt: int, bad_steps: list[BadStep]) -> Row:
    """Return one row of the matrix: one pass over the union of the test sets, one synchronisation."""
    tasks = len(stream)
    defined = stream.defined_tasks(learnt)
    test = stream.test_set(defined)
    correct, broken = score(stream, strategy, test, stream.test_masks(learnt), learnt)
    flags = [step.view(1) for _, step in bad_steps]
    numbers = torch.cat([correct, broken, *flags]).tolist()  # the one synchronisation
    hits, (useless, *bad) = numbers[:tasks], numbers[tasks:]
    for (before, _), step in zip(bad_steps, bad, strict=True):
        if step >= 0:
            raise NonFiniteLossError(learnt - 1 if learnt else None, before + step)
    if useless:
        raise ClbenchError(
            f"predictions became NaN or infinite after {counted(learnt, 'experience')}"
            f"{defined_at(strategy.predict)}"
        )
    counts = stream.test_counts
    return [hits[j] / counts[j] if j < defined else None for j in range(tasks)]


def over_orders(stream: Stream, strategy: Strategy) -> dict[str, float | None]:
    """Return the sd (ddof 1) of the final average accuracy over the orders of the memory, and how many there are."""
    found = []
    for order in range(strategy.orders):
        strategy.reorder(order)
        row = fill_row(stream, strategy, len(stream), [])
        found.append(fmean(value for value in row if value is not None))
    strategy.reorder(0)
    return {"order_sd": stdev(found), "orders": len(found)}
