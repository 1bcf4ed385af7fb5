"""Are these logits? What a strategy answers is looked at before it is used, without waiting for the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from clbench.blame import defined_at
from clbench.errors import ClbenchError


def check_logits(
    logits: Any, method: Callable[..., Any], shape: tuple[int, ...], axes: str, device: torch.device
) -> None:
    """Refuse an answer that is no floating-point tensor of the right shape where the question was.

    Args:
        logits: What ``method`` returned.
        method: Of the strategy, for the message.
        shape: What it must be.
        axes: Their names, as ``[N, C]``.
        device: Of the images that were asked about.

    Raises:
        ClbenchError: Says what was returned, what is allowed, and where a plug-in's method is defined.
    """
    given: object
    if not isinstance(logits, Tensor) or logits.shape != shape:
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        wanted = f"logits of shape {axes} = {shape}"
    elif not logits.is_floating_point():
        given, wanted = logits.dtype, "floating-point logits"
    elif logits.device != device:
        given, wanted = f"on {logits.device}", f"logits on {device}, where its images are"
    else:
        return
    raise ClbenchError(f"{method.__name__} must return {wanted}, not {given}{defined_at(method)}")
