"""One nearest neighbour over the exemplars in memory, on pixels: no learning, the floor of every memory method.

The answer is the class of the closest exemplar among the classes that compete, by Euclidean distance.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clbench.episode_sampler import Episodes
from clbench.errors import UsageError
from clbench.experience import Experience, StreamInfo
from clbench.memory import Memory
from clbench.strategy import MemoryParameters, Strategy


class Nearest(Strategy):
    """Keeps exemplars and compares with them."""

    Parameters = MemoryParameters
    memory: Memory

    def check(self, info: StreamInfo) -> None:
        """Refuse a memory without room for every class, or for an episode's support set."""
        self.needs_exemplars(info)
        support = info.classes * (info.shots or 0)
        if self.parameters.memory_size < support:
            raise UsageError(
                f"memory_size={self.parameters.memory_size} is too small for a support set of"
                f" {support} samples"
            )

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
        distance = self._distances(x, self.memory.x)
        return -nearest.scatter_reduce(1, self.memory.y.expand(len(x), -1), distance, "amin")

    def answer(self, episodes: Episodes) -> Tensor:
        """Return the same for the queries of each episode, its support set being the memory."""
        distance = self._distances(episodes.query, episodes.support)
        nearest = distance.new_full((*distance.shape[:2], episodes.info.classes), torch.inf)
        labels = episodes.labels[:, None].expand_as(distance)
        return -nearest.scatter_reduce(2, labels, distance, "amin")

    def _distances(self, x: Tensor, kept: Tensor) -> Tensor:
        """Return the distance of each image to each exemplar, the same bits in any batch: ties are common.

        Args:
            x: [N, C, H, W], or [E, N, C, H, W] for E memories.
            kept: [M, C, H, W] or [E, M, C, H, W].
        """
        if x.dtype == torch.uint8:
            squares = torch.zeros((*x.shape[:-3], kept.shape[-4]), device=x.device)
            unit = (255 * self.info.normalise.std).flatten()
            for a, b, scale in zip(x.unbind(-3), kept.unbind(-3), unit, strict=True):  # by channel
                squares += _squares(a.flatten(-2), b.flatten(-2)) / scale**2
            return squares.sqrt()
        a, b = (self.info.normalise(images).flatten(-3) for images in (x, kept))
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")

    def state_dict(self) -> dict[str, Any]:
        """Return the memory."""
        return {"memory": self.memory.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the memory."""
        self.memory.load_state_dict(state["memory"])


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances of uint8 vectors […, N, P] and […, M, P], exact in whatever order they are summed.

    Within 128 pixels everything is a whole number below 2²⁴, which float32 holds.
    """
    total = torch.zeros((*a.shape[:-1], b.shape[-2]), dtype=torch.int64, device=a.device)
    parts = (torch.split(images.float(), 128, dim=-1) for images in (a, b))
    for p, q in zip(*parts, strict=True):
        ours, theirs = p.square().sum(-1), q.square().sum(-1)
        total += (ours[..., None] + theirs[..., None, :] - 2 * (p @ q.mT)).long()
    return total
