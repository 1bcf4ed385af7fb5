"""Experience replay: each step learns from a current batch and as many exemplars from memory.

Chaudhry et al. 2019, "On Tiny Episodic Memories in Continual Learning" (arXiv 1902.10486); the mean cross-entropy is
taken over both together. The memory is offered each experience after it was learnt, each batch if online.

With ``mixing=data`` it is the naive rehearsal of Hsu et al. 2018 (arXiv 1810.12488): the memory, repeated as often as
it fits into the experience, is shuffled into its data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from clbench.errors import UsageError
from clbench.experience import Experience, StreamInfo
from clbench.gradient import Batch, GradientParameters, GradientStrategy
from clbench.parameters import LATER, PositiveInt
from clbench.strategy import MemoryParameters


class ReplayParameters(MemoryParameters, GradientParameters):
    """Hyper-parameters of replay."""

    replay_batch_size: PositiveInt | None = Field(
        None, description="exemplars per step; none takes as many as current samples"
    )
    mixing: Literal["batch", "data"] = Field(
        "batch",
        description="batch: every step joins exemplars to current samples; data: the memory,"
        " repeated ⌊n/M⌋ times, is shuffled into an experience's n samples",
        json_schema_extra=LATER,
    )


class Replay(GradientStrategy):
    """Cross-entropy on current samples and exemplars."""

    Parameters = ReplayParameters
    paper = "Chaudhry et al. 2019, arXiv 1902.10486"

    def check(self, info: StreamInfo) -> None:
        """Refuse to shuffle the memory into data that come as a stream."""
        if info.online and self.parameters.mixing == "data":
            raise UsageError(
                "mixing=data needs all samples of an experience at once, which online=true denies"
            )

    def draw(self, current: Experience, rows: Tensor) -> Batch:
        """Return current samples at ``rows``, joined by exemplars once there are any."""
        batch: Batch = super().draw(current, rows)
        if not self.memory or self.parameters.mixing == "data":
            return batch
        return batch.join(self.draw_memory(self.parameters.replay_batch_size or len(rows)))

    def training(self, samples: Experience, offer: bool = False) -> Iterator[Any]:
        """Train on the samples, with the repeated memory among them if mixing says so."""
        if self.memory and self.parameters.mixing == "data":
            memory, n = self.memory, len(samples)
            repeated = torch.arange(len(memory), device=samples.y.device)
            repeated = repeated.repeat(max(1, n // len(memory)))
            samples = replace(
                samples,
                x=torch.cat([samples.x, memory.x[repeated]]),
                y=torch.cat([samples.y, memory.y[repeated]]),
                group=torch.cat([samples.group, memory.group[repeated]]),
            )
        yield from super().training(samples, offer)
