"""The inner loop of a meta-learner: what it steps with, and which samples each step sees."""

from __future__ import annotations

from collections.abc import Sequence
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
        self.weights.addcdiv_(g, v.sqrt().add_(self.EPSILON), value=-self._rate())

    @classmethod
    def step_each(cls, optimizers: Sequence[InnerOptimizer]) -> None:
        """Take a step of each of optimisers with the same settings, an operation for all of them at once."""
        weights, g = [o.weights for o in optimizers], [o.gradients for o in optimizers]
        v = [o.moments for o in optimizers if o.moments is not None]
        for optimizer in optimizers:
            optimizer.steps += 1
        if not v:
            torch._foreach_sub_(weights, g, alpha=optimizers[0].lr)
            return
        torch._foreach_mul_(v, cls.BETA2)
        torch._foreach_addcmul_(v, g, g, value=1 - cls.BETA2)
        roots = torch._foreach_sqrt(v)
        torch._foreach_add_(roots, cls.EPSILON)
        torch._foreach_addcdiv_(weights, g, roots, [-o._rate() for o in optimizers])

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.gradients.zero_()

    def _rate(self) -> float:
        """Return the learning rate with Adam's correction of the bias of its second moments."""
        return float(self.lr * (1 - self.BETA2**self.steps) ** 0.5)

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
