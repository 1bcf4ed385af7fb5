"""A step as a CUDA graph: recorded once, then replayed for every batch of the same shapes.

A step of a small network is mostly launches; a replayed graph is one. The steps of a shape before its recording are
taken one operation at a time, on a stream of their own, as torch asks for (its notes on CUDA semantics, "CUDA graphs").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from clbench.lessons import filled, form, tensors_of

WARM_UP = 3
"""Steps of a shape before it is recorded: kernels are chosen and the optimiser's state is made in them."""

Work = Callable[[], None]
Record = Callable[[Work], Work]
"""Takes some work and returns what repeats it."""


def record_graph(work: Work) -> Work:
    """Return what replays the kernels that ``work`` launches; they are not run now."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


class Replayed:
    """Stands in for a step.

    Args:
        step: Takes a batch and returns its loss, or losses. All that it does to tensors, a replay does again; what it
            does in Python is done no more.
        device: Where it does so.
        record: What makes graphs.
    """

    def __init__(
        self,
        step: Callable[[Any], Tensor],
        device: torch.device,
        record: Record = record_graph,
    ) -> None:
        self._step, self._device, self._record = step, device, record
        self.seen: Counter[Any] = Counter()
        """How many batches came of each form."""
        self.graphs: dict[Any, _Graph] = {}

    def has(self, batch: Any) -> bool:
        """Return whether there is a graph for batches of this form."""
        return form(batch) in self.graphs

    def __call__(self, batch: Any) -> Tensor:
        """Take the step on a batch and return its loss, or losses."""
        kind = form(batch)
        self.seen[kind] += 1
        if self.seen[kind] <= WARM_UP:
            return self._warm_up(batch)
        if kind not in self.graphs:
            self.graphs[kind] = _Graph(self._step, batch, self._record)
        return self.graphs[kind].replay(batch)

    def _warm_up(self, batch: Any) -> Tensor:
        if self._device.type != "cuda":
            return self._step(batch)
        main, aside = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        aside.wait_stream(main)
        with torch.cuda.stream(aside):
            loss = self._step(batch)
        main.wait_stream(aside)
        return loss


class _Graph:
    """The recorded step of one form, and the tensors it reads."""

    def __init__(self, step: Callable[[Any], Tensor], batch: Any, record: Record) -> None:
        self._tensors = [tensor.clone() for tensor in tensors_of(batch)]
        own = filled(batch, iter(self._tensors))

        def work() -> None:
            self._loss = step(own)

        self._again = record(work)

    def replay(self, batch: Any) -> Tensor:
        """Take the step on a batch and return its loss, or losses."""
        for own, tensor in zip(self._tensors, tensors_of(batch), strict=True):
            own.copy_(tensor)
        self._again()
        return self._loss.clone()
