"""The losses of training, kept on the device until somebody synchronises anyway."""

from __future__ import annotations

import torch
from torch import Tensor


class LossTrace:
    """The losses of an experience, kept on the device until somebody synchronises anyway."""

    def __init__(self) -> None:
        self._recent: list[Tensor] = []
        self._stacked: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Keep a scalar loss."""
        self._recent.append(loss.detach())
        if len(self._recent) == 1024:
            self._stack()

    def first_bad(self) -> Tensor | None:
        """Return the position of the first non-finite loss, −1 if none, as a 0-d int64 tensor."""
        self._stack()
        if not self._stacked:
            return None
        bad = ~torch.isfinite(torch.cat(self._stacked))
        first = bad.to(torch.uint8).argmax()
        return torch.where(bad.any(), first, -1)

    def _stack(self) -> None:
        if self._recent:
            self._stacked.append(torch.stack(self._recent))
            self._recent = []
