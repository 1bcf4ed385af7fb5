"""A training step as a CUDA graph: recorded once, then replayed for every batch of the same shapes.

A step of a small network is mostly launches; a replayed graph is one. The steps of a shape before its recording are
taken one operation at a time, on a stream of their own, as torch asks for (its notes on CUDA semantics, "CUDA graphs").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from clbench.backward import backward
from clbench.gradient import GradientStrategy
from clbench.lessons import filled, form, tensors_of
from clbench.precision import computing
from clbench.strategy import Strategy
from clbench.together import alone_because

WARM_UP = 3
"""Steps of a shape before it is recorded: kernels are chosen and the optimiser's state is made in them."""

Work = Callable[[], None]


def uncaptured_because(kind: type[Strategy]) -> str | None:
    """Return why the steps of strategies of this class cannot be captured; None if they can be."""
    reason = alone_because(kind)
    if reason is not None:
        return reason
    for hook in ("step", "parts", "stepped", "penalise", "before_step", "after_step"):
        if getattr(kind, hook) is not getattr(GradientStrategy, hook):
            return f"its {hook} may do what a graph would not repeat"
    return None


def capture_steps(strategy: Strategy) -> None:
    """Let a strategy take its steps by graphs, where `uncaptured_because` has nothing against it."""
    if uncaptured_because(type(strategy)) is None:
        assert isinstance(strategy, GradientStrategy)
        strategy.step = CapturedSteps(strategy)  # type: ignore[method-assign]


def record_graph(work: Work) -> Work:
    """Return what replays the kernels that ``work`` launches; they are not run now."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


class CapturedSteps:
    """Stands in for a strategy's `step`.

    Args:
        strategy: Set up.
        record: Takes some work and returns what repeats it.
    """

    def __init__(
        self, strategy: GradientStrategy, record: Callable[[Work], Work] = record_graph
    ) -> None:
        self._strategy, self._record, self._eager = strategy, record, strategy.step
        self._forget()

    def __call__(self, batch: Any) -> None:
        """Take one optimiser step."""
        if self._learner != (self._strategy.network, self._strategy.optimizer):  # it began anew
            self._forget()
        kind = form(batch)
        self._seen[kind] += 1
        if self._seen[kind] <= WARM_UP:
            self._warm_up(batch)
            return
        if kind not in self._steps:
            self._steps[kind] = _Step(self._strategy, batch, self._record)
        loss = self._steps[kind].repeat(batch)
        self._strategy.count(batch, loss)

    def _forget(self) -> None:
        self._learner = self._strategy.network, self._strategy.optimizer
        self._seen: Counter[Any] = Counter()
        self._steps: dict[Any, _Step] = {}

    def _warm_up(self, batch: Any) -> None:
        device = self._strategy.info.device
        if device.type != "cuda":
            self._eager(batch)
            return
        main, aside = torch.cuda.current_stream(device), torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        aside.wait_stream(main)
        with torch.cuda.stream(aside):
            self._eager(batch)
        main.wait_stream(aside)


class _Step:
    """The recorded step of one shape, and the tensors it reads."""

    def __init__(
        self, strategy: GradientStrategy, batch: Any, record: Callable[[Work], Work]
    ) -> None:
        self._strategy = strategy
        self._tensors = [tensor.clone() for tensor in tensors_of(batch)]
        self._batch = filled(batch, iter(self._tensors))
        self._loss = torch.zeros((), device=strategy.info.device)
        strategy.optimizer.zero_grad()  # gradients are made inside, so that each replay writes them anew
        self._again = record(self._step)

    def repeat(self, batch: Any) -> Tensor:
        """Take the step on a batch and return its loss."""
        for own, tensor in zip(self._tensors, tensors_of(batch), strict=True):
            own.copy_(tensor)
        self._again()
        return self._loss.clone()

    def _step(self) -> None:
        strategy = self._strategy
        with computing(strategy.info.precision, strategy.info.device):
            loss = strategy.loss(strategy.network, self._batch)
        backward(loss, strategy.loss)
        strategy.optimizer.step()
        self._loss.copy_(loss.detach())
        strategy.optimizer.zero_grad()
