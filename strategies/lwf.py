"""Learning without forgetting: on new images, keep what the network said of them before, for the old units.

Li and Hoiem 2016 (ECCV, arXiv 1606.09282), Figure 3. The responses to an experience's images are recorded before it is
learnt. The loss is cross-entropy + λ T² KL(recorded ‖ present), both softened by the temperature T, whose square keeps
the size of the gradient (Hinton et al. 2015, arXiv 1503.02531). Where the task id is given, it is the sum of a
divergence for each old task's head; else there is one, over all units that competed before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.experience import Experience, masked
from clbench.gradient import Batch, GradientParameters, GradientStrategy, cross_entropy
from clbench.parameters import PositiveFloat


class LwFParameters(GradientParameters):
    """Hyper-parameters of LwF."""

    strength: PositiveFloat = Field(1.0, description="λ, weight of the divergence")
    temperature: PositiveFloat = Field(2.0, description="T, softens both distributions")
    new_units: Literal["zero", "ignored"] = Field(
        "zero",
        description="what new units should be given where they share a softmax with old ones:"
        " zero probability (van de Ven & Tolias 2018), or the old ones are compared alone",
    )


@dataclass(frozen=True)
class Lesson(Batch):
    """Current samples and what the network said of them before."""

    recorded: Tensor
    """[B, C] logits."""
    heads: tuple[tuple[Tensor, Tensor], ...]
    """Masks [C] for each divergence: the units it is over as recorded, and at present."""


class LwF(GradientStrategy):
    """Cross-entropy + λ T² KL(recorded ‖ present)."""

    Parameters = LwFParameters
    quick: ClassVar = {"strength": 0.1}  # the default gives up new classes for old ones
    paper = "Li and Hoiem 2016, ECCV, arXiv 1606.09282"
    needs_boundaries = True
    stackable = True

    def see(self, experience: Experience) -> None:
        """Note which units each divergence is over: masks [C] of the old ones, and of those present."""
        before = self.masks.clone()
        super().see(experience)
        present = before if self.parameters.new_units == "ignored" else self.masks
        heads = zip(before, present, strict=True)
        self._heads = tuple((old, now) for old, now in heads if old.any())

    @torch.no_grad()
    def begin(self, current: Experience) -> None:
        """Record the responses to all images of the experience."""
        self.network.eval()
        self._recorded = torch.cat([self.network(x) for x in torch.split(current.x, 1024)])
        self.network.train()

    def draw(self, current: Experience, rows: Tensor) -> Lesson:
        """Return the current samples at ``rows`` with the responses recorded for them."""
        batch = super().draw(current, rows)
        return Lesson(batch.x, batch.y, batch.mask, self._recorded[rows], self._heads)

    def loss(self, network: nn.Module, batch: Lesson) -> Tensor:
        """Return the loss of a step."""
        logits, p = network(batch.x), self.parameters
        loss = cross_entropy(logits, batch)
        for old, now in batch.heads:
            recorded, present = masked(batch.recorded, old), masked(logits, now)
            loss = loss + p.strength * divergence(recorded, present, p.temperature)
        return loss

    def lessons(self, experience: Experience) -> Iterator[Lesson]:
        """Learn the experience, then let go of the responses."""
        yield from super().lessons(experience)
        del self._recorded, self._heads


def divergence(recorded: Tensor, present: Tensor, temperature: float) -> Tensor:
    """Return T² KL(softmax(recorded / T) ‖ softmax(present / T)), its mean over masked logits [B, C]."""
    p = (recorded / temperature).softmax(1)
    log_p, log_q = ((z / temperature).log_softmax(1) for z in (recorded, present))
    apart = torch.where(p > 0, p * (log_p - log_q), 0.0)
    return temperature**2 * apart.sum(1).mean()
