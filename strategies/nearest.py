"""One nearest neighbour over the exemplars in memory, on pixels: no learning, the floor of every memory method.

The answer is the class of the closest exemplar among the classes that compete, by Euclidean distance.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clbench.memory import Memory
from clbench.strategy import MemoryParameters, Strategy
from clbench.stream import Experience, StreamInfo


class Nearest(Strategy):
    """Keeps exemplars and compares with them."""

    Parameters = MemoryParameters
    memory: Memory

    def check(self, info: StreamInfo) -> None:
        """Refuse a memory without room for every class."""
        self.needs_exemplars(info)

    def setup(self, info: StreamInfo) -> None:
        """Start with an empty memory."""
        self.info = info
        self.memory = Memory(self.parameters.memory_size, self.parameters.memory_policy, info)

    def learn(self, experience: Experience) -> None:
        """Offer the experience to the memory."""
        self.memory.add(experience)
        self.effort.samples_seen += len(experience)

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        """Return minus the distance to the closest exemplar of each class, −∞ without exemplars."""
        nearest = torch.full((len(x), self.info.classes), torch.inf, device=x.device)
        distance = torch.cdist(self._flat(x), self._flat(self.memory.x))
        return -nearest.scatter_reduce(1, self.memory.y.expand(len(x), -1), distance, "amin")

    def _flat(self, x: Tensor) -> Tensor:
        return self.info.normalise(x).flatten(1)

    def state_dict(self) -> dict[str, Any]:
        """Return the memory."""
        return {"memory": self.memory.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the memory."""
        self.memory.load_state_dict(state["memory"])
