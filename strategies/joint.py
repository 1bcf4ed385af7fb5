"""Joint training: a fresh network on the union of all data so far, at each experience; the upper reference.

Its data count as memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import Field
from torch import Tensor

from clbench.gradient import GradientParameters, GradientStrategy
from clbench.memory import Memory
from clbench.stream import Experience, StreamInfo


class JointParameters(GradientParameters):
    """Hyper-parameters of joint training."""

    warm_start: bool = Field(
        False, description="go on from the last network instead of starting from a fresh one"
    )


class Joint(GradientStrategy):
    """Cross-entropy on everything seen so far."""

    Parameters = JointParameters
    needs_boundaries = True

    def setup(self, info: StreamInfo) -> None:
        """Keep everything."""
        super().setup(info)
        self.memory = Memory(0, "everything", info)

    def learn(self, experience: Experience) -> None:
        """Add the experience to the union and train on all of it."""
        assert self.memory is not None
        self.see(experience)
        self.memory.add(experience)
        if not self.parameters.warm_start:
            self.restart()
        memory = self.memory
        self.train(replace(experience, x=memory.x, y=memory.y, group=memory.group))

    def schedule(self, samples: int) -> Iterator[Tensor]:
        """Yield shuffled passes; a single one in an online stream."""
        if self.info.online:
            yield from self.shuffled(samples, 1, self.info.batch_size)
        else:
            yield from super().schedule(samples)
