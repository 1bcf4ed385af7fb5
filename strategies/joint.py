"""Joint training: a fresh network on the union of all data so far, at each experience; the upper reference.

Its data count as memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

from pydantic import Field
from torch import Tensor

from clbench.base_split import Base
from clbench.experience import Experience, StreamInfo
from clbench.gradient import GradientParameters, GradientStrategy
from clbench.memory import Memory


class JointParameters(GradientParameters):
    """Hyper-parameters of joint training."""

    warm_start: bool = Field(
        False, description="go on from the last network instead of starting from a fresh one"
    )


class Joint(GradientStrategy):
    """Cross-entropy on everything seen so far."""

    Parameters = JointParameters
    needs_boundaries = True
    _beginning: dict[str, Tensor] | None = None
    """The body that a base split gave, under a fresh head: where every network begins."""

    def setup(self, info: StreamInfo) -> None:
        """Keep everything."""
        super().setup(info)
        self.memory = Memory(0, "everything", info)

    def pretrain(self, base: Base) -> None:
        """Keep what was learnt, for every network to begin with."""
        super().pretrain(base)
        self._beginning = deepcopy(self.network.state_dict())

    def restart(self) -> None:
        """Start from a fresh network, its body as the base split left it, and a fresh optimiser."""
        super().restart()
        if self._beginning is not None:
            self.network.load_state_dict(self._beginning)

    def lessons(self, experience: Experience) -> Iterator[Any]:
        """Add the experience to the union and train on all of it."""
        assert self.memory is not None
        self.see(experience)
        self.memory.add(experience)
        if not self.parameters.warm_start:
            self.restart()
        memory = self.memory
        union = replace(experience, x=memory.x, y=memory.y, group=memory.group)
        yield from self.training(union)

    def schedule(self, samples: int) -> Iterator[Tensor]:
        """Yield shuffled passes; a single one in an online stream."""
        if self.info.online:
            yield from self.shuffled(samples, 1, self.info.batch_size)
        else:
            yield from super().schedule(samples)

    def state_dict(self) -> dict[str, Any]:
        """Return also where every network begins, after a base split."""
        kept = {} if self._beginning is None else {"beginning": self._beginning}
        return super().state_dict() | kept

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore also where every network begins."""
        super().load_state_dict(state)
        self._beginning = state.get("beginning")
