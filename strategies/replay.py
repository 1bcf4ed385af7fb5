"""Experience replay: each step learns from a current batch and as many exemplars from memory.

Chaudhry et al. 2019, "On Tiny Episodic Memories in Continual Learning" (arXiv 1902.10486); the mean cross-entropy is
taken over both together. The memory is offered each experience after it was learnt, each batch if online.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from clbench.gradient import Batch, GradientParameters, GradientStrategy
from clbench.parameters import PositiveInt
from clbench.strategy import MemoryParameters
from clbench.stream import Experience


class ReplayParameters(MemoryParameters, GradientParameters):
    """Hyper-parameters of replay."""

    replay_batch_size: PositiveInt | None = Field(
        None, description="exemplars per step; none takes as many as current samples"
    )


class Replay(GradientStrategy):
    """Cross-entropy on current samples and exemplars."""

    Parameters = ReplayParameters
    paper = "Chaudhry et al. 2019, arXiv 1902.10486"

    def draw(self, current: Experience, rows: Tensor) -> Batch:
        """Return current samples at ``rows``, joined by exemplars once there are any."""
        batch: Batch = super().draw(current, rows)
        if not self.memory:
            return batch
        return batch.join(self.draw_memory(self.parameters.replay_batch_size or len(rows)))
