"""Strategies whose steps are taken by CUDA graphs, alone (`capture_steps`) or in a stack (`clbench.together`)."""

from __future__ import annotations

from typing import Any, TypeGuard

from torch import Tensor

from clbench.backward import backward
from clbench.gradient import GradientStrategy
from clbench.graphs import Record, Replayed, record_graph
from clbench.precision import computing
from clbench.strategy import Strategy
from clbench.together import alone_because


def uncaptured_because(kind: type[Strategy]) -> str | None:
    """Return why the steps of strategies of this class cannot be captured; None if they can be."""
    reason = alone_because(kind)
    if reason is not None:
        return reason
    for hook in ("step", "parts", "stepped", "penalise", "before_step", "after_step"):
        if not _is_repeated(kind, hook):
            return f"its {hook} may do what a graph would not repeat"
    return None


def _is_repeated(kind: type[Strategy], hook: str) -> bool:
    """Return whether a hook is the framework's, or said to be replayed in the class that has it or below."""
    for each in kind.__mro__[: kind.__mro__.index(GradientStrategy)]:
        if hook in vars(each).get("replayed", ()):
            return hook in ("before_step", "after_step")
        if hook in vars(each):
            return False
    return True


def capturable(strategy: Strategy) -> TypeGuard[GradientStrategy]:
    """Return whether the steps of a strategy that was set up can be captured where it is."""
    if uncaptured_because(type(strategy)) is not None or not isinstance(strategy, GradientStrategy):
        return False
    return bool(strategy.info.device.type == "cuda")


def capture_steps(strategy: Strategy) -> None:
    """Let a strategy take its steps by graphs, if it is `capturable`."""
    if capturable(strategy):
        strategy.step = CapturedSteps(strategy)  # type: ignore[method-assign]


class CapturedSteps:
    """Stands in for a strategy's `step`.

    Args:
        strategy: Set up. Its parameters stay where they are, so it is in no stack.
        record: What makes graphs.
    """

    def __init__(self, strategy: GradientStrategy, record: Record = record_graph) -> None:
        self._strategy, self._record = strategy, record
        self._begin()

    def __call__(self, batch: Any) -> None:
        """Take one optimiser step."""
        if self._learner != (self._strategy.network, self._strategy.optimizer):  # it began anew
            self._begin()
        self._strategy.count(batch, self.replayed(batch))

    def _begin(self) -> None:
        self._learner = self._strategy.network, self._strategy.optimizer
        self.replayed = Replayed(self._step, self._strategy.info.device, self._record)

    def _step(self, batch: Any) -> Tensor:
        """Take a step as `GradientStrategy.step` does where there is no penalty; gradients are gone after it."""
        strategy = self._strategy
        with computing(strategy.info.precision, strategy.info.device):
            loss = strategy.loss(strategy.network, batch)
        backward(loss, strategy.loss)
        strategy.before_step()
        strategy.optimizer.step()
        strategy.after_step()
        strategy.optimizer.zero_grad()
        return loss.detach()
