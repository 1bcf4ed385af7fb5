"""The inner loop of a meta-learner: what it steps with, and which samples each step sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class InnerOptimizer:
    """Adam with β₁ = 0, or SGD, on one vector.

    Args:
        weights: [P], changed by `step`.
        gradients: [P], read by `step`.
        lr: Learning rate.
        adam: Or else SGD.
    """

    BETA2, EPSILON = 0.999, 1e-8

    def __init__(self, weights: Tensor, gradients: Tensor, lr: float, *, adam: bool) -> None:
        self.weights, self.gradients, self.lr = weights, gradients, lr
        self.moments = torch.zeros_like(weights) if adam else None
        self.steps = 0

    def step(self) -> None:
        """Take a step."""
        g, v, self.steps = self.gradients, self.moments, self.steps + 1
        if v is None:
            self.weights.sub_(g, alpha=self.lr)
            return
        v.mul_(self.BETA2).addcmul_(g, g, value=1 - self.BETA2)
        rate = self.lr * (1 - self.BETA2**self.steps) ** 0.5
        self.weights.addcdiv_(g, v.sqrt().add_(self.EPSILON), value=-rate)

    def state_dict(self) -> dict[str, Any]:
        """Return second moments and the number of steps behind them."""
        return {"moments": self.moments, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.steps = state["steps"]
        if self.moments is not None:
            self.moments.copy_(state["moments"])


def mini_batches(count: int, size: int, steps: int, generator: torch.Generator) -> Tensor:
    """Return the rows [steps, size] of mini-batches: passes in new orders one after the other, cut regardless of ends.

    Args:
        count: Samples of the task.
        size: Of a mini-batch; where it is more than ``count``, samples come twice in one.
        steps: Mini-batches.
        generator: Of the orders.
    """
    passes = -(-steps * size // count)
    keys = torch.rand(passes, count, generator=generator, device=generator.device)
    return keys.argsort(1).flatten()[: steps * size].view(steps, size)
