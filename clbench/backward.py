"""Back-propagating a method's loss; what is no loss is said in words of the method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from clbench.blame import defined_at
from clbench.errors import ClbenchError


def backward(loss: Any, method: Callable[..., Any]) -> None:
    """Add the gradients of a loss; looked at only where that fails, so that a step costs no more.

    Args:
        loss: What ``method`` returned.
        method: Of the strategy, for the message.

    Raises:
        ClbenchError: It is no scalar tensor with a gradient.
    """
    try:
        loss.backward()
    except (AttributeError, RuntimeError, TypeError):
        if _is_loss(loss):
            raise  # what is wrong is elsewhere
        raise not_a_loss(loss, method) from None


def slopes(loss: Any, parameters: Sequence[Tensor], method: Callable[..., Any]) -> Sequence[Tensor]:
    """Return the gradients of a loss in parameters, 0 in those that it does not depend on; raises as `backward`."""
    try:
        return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    except (AttributeError, RuntimeError, TypeError):
        if _is_loss(loss):
            raise
        raise not_a_loss(loss, method) from None


def _is_loss(loss: Any) -> bool:
    return isinstance(loss, Tensor) and loss.numel() == 1 and loss.requires_grad


def not_a_loss(loss: Any, method: Callable[..., Any]) -> ClbenchError:
    """Return the error of a loss that is none."""
    given = type(loss).__name__
    if isinstance(loss, Tensor):
        shape = tuple(loss.shape)
        given = f"one of shape {shape}" if loss.numel() != 1 else "one without a gradient"
    return ClbenchError(
        f"{method.__name__} must return a scalar tensor that depends on the network, not {given}{defined_at(method)}"
    )
