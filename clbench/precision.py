"""Mixed precision: what a step's forward pass and loss, and predictions, are computed in. Whatever lasts is float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from clbench.errors import UsageError, unknown

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bf16"]
"""``bf16``: products and convolutions in bfloat16, what needs more digits in float32, as torch's autocast has it."""


def choose_precision(name: str) -> Precision:
    """Return the precision of a name.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in get_args(Precision):
        raise UsageError(unknown("precision", name, get_args(Precision)))
    return cast(Precision, name)


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a network's forward pass and its loss are computed."""
    if precision == "float32":
        return nullcontext()
    import torch

    return torch.autocast(device.type, torch.bfloat16)
