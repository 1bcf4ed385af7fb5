"""A linear classifier with dropout on its pixels; the strategy of the sample package."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench import Batch, GradientParameters, GradientStrategy, MemoryParameters
from clbench.gradient import cross_entropy


class CoinParameters(MemoryParameters, GradientParameters):
    """Hyper-parameters."""

    drop: float = Field(0.1, ge=0, lt=1, description="share of the pixels hidden in training")


class Coin(GradientStrategy):
    """Softmax regression with replay."""

    Parameters = CoinParameters

    def build(self, info: Any) -> nn.Module:
        """Return one layer."""
        channels, height, width = info.shape
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, info.classes))

    def draw(self, current: Any, rows: Tensor) -> Batch:
        """Return current samples and as many exemplars."""
        batch: Batch = super().draw(current, rows)
        return batch.join(self.draw_memory(len(rows))) if self.memory else batch

    def loss(self, network: Any, batch: Batch) -> Tensor:
        """Return the cross-entropy with some pixels hidden."""
        drawn = torch.rand(batch.x.shape, generator=self.generator, device=batch.x.device)
        return cross_entropy(network(batch.x * (drawn >= self.parameters.drop)), batch)
