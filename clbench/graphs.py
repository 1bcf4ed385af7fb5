"""A step as a CUDA graph: recorded once, then replayed for every batch of the same shapes.

A step of a small network is mostly launches; a replayed graph is one. The steps of a shape before its recording are
taken one operation at a time, on another stream, as torch asks for (its notes on CUDA semantics, "CUDA graphs").
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
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
    """Return what replays the kernels that ``work`` launches on the current device; they are not run now.

    Only this thread is bound by what a recording forbids: another may be fetching images (`clbench.residence`). Nothing
    is collected meanwhile, since to free a graph is forbidden, too.
    """
    graph, aside = torch.cuda.CUDAGraph(), _aside(torch.cuda.current_device())
    recording = torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local")
    with _nothing_collected(), recording:
        work()
    return graph.replay


@cache
def _aside(device: int) -> torch.cuda.Stream:
    """Return the stream on which a device's steps are warmed up and recorded; a new one each time costs memory."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _nothing_collected() -> Iterator[None]:
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


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
        with self._on_device():
            if self.seen[kind] <= WARM_UP:
                return self._warm_up(batch)
            if kind not in self.graphs:
                self.graphs[kind] = _Graph(self._step, batch, self._record)
            return self.graphs[kind].replay(batch)

    def _on_device(self) -> AbstractContextManager[Any]:
        """Make its device the current one, on which graphs are recorded."""
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()

    def _warm_up(self, batch: Any) -> Tensor:
        if self._device.type != "cuda":
            return self._step(batch)
        main, aside = torch.cuda.current_stream(), _aside(torch.cuda.current_device())
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
