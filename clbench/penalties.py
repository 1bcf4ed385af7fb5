"""Strategies that hold the parameters near where earlier experiences left them, by a quadratic penalty.

The loss of every step is the current experience's plus λ Σₖ Σᵢ Ωₖᵢ (θᵢ − θ*ₖᵢ)², over the anchors θ*ₖ kept; methods
differ in the importances Ω, in how many anchors they keep, and in whether their λ comes with a factor of ½.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from clbench.experience import Experience, StreamInfo
from clbench.gradient import GradientStrategy
from clbench.sample_gradients import summed_gradients

CHUNK = 128
"""Samples at once where importances are computed."""


def vector(network: nn.Module) -> Tensor:
    """Return a copy of the parameters as one vector [P]."""
    with torch.no_grad():
        return parameters_to_vector(network.parameters())


def gradient_vector(network: nn.Module) -> Tensor:
    """Return a copy of the parameters' gradients as one vector [P]."""
    return torch.cat([gradient.flatten() for gradient in _gradients(network)])


class PenaltyStrategy(GradientStrategy):
    """Keeps anchors and importances; a method says how they are renewed after each experience (`consolidate`).

    The first experience is learnt as by fine-tuning. Whatever the importances are computed from is used right after
    the experience was learnt, also in an online stream, and is let go of then.
    """

    needs_boundaries = True
    anchors: Tensor
    """θ*: [K, P]."""
    importances: Tensor
    """Ω: [K, P], or [K, 1] where all parameters weigh the same."""

    @abstractmethod
    def consolidate(self, experience: Experience) -> None:
        """Renew anchors and importances after the network learnt an experience."""

    def setup(self, info: StreamInfo) -> None:
        """Start without an anchor."""
        super().setup(info)
        self.anchors = torch.empty(0, self.parameter_count(), device=info.device)
        self.importances = self.anchors

    def factor(self) -> float:
        """Return what the sum Σ Ω (θ − θ*)² is multiplied by."""
        return float(self.parameters.strength)

    def lessons(self, experience: Experience) -> Iterator[Any]:
        """Learn the experience, then consolidate."""
        yield from super().lessons(experience)
        self.network.eval()
        self.consolidate(experience)

    @torch.no_grad()
    def penalise(self) -> Tensor | None:
        """Add the penalty's gradient, 2 λ Σₖ Ωₖ (θ − θ*ₖ), and return the penalty.

        Written down rather than left to autograd, which takes twice as long.
        """
        if not len(self.anchors):
            return None
        theta, factor = vector(self.network), self.factor()
        force = torch.zeros_like(theta)
        penalty = torch.zeros((), device=theta.device)
        for anchor, importance in zip(self.anchors, self.importances, strict=True):
            away = theta - anchor
            weighted = importance * away
            force += weighted
            penalty += weighted @ away
        _add_to_gradients(self.network, force.mul_(2 * factor))
        return factor * penalty

    def mean_gradients(
        self, experience: Experience, scores: Callable[..., Tensor], power: int
    ) -> Tensor:
        """Return E_x Σₖ |∂sₖ(x)/∂θ|ᵖ [P] over the samples of an experience.

        Args:
            experience: Its samples are met as in training: normalised, with the units that competed.
            scores: Takes logits [N, C] and ``batch`` to [N, K] (see `summed_gradients`).
            power: p.
        """
        total = torch.zeros(self.parameter_count(), device=self.info.device)
        for rows in torch.split(torch.arange(len(experience), device=total.device), CHUNK):
            part = experience[rows]
            batch = self.batch(self.info.normalise(part.x), part.group)
            total += summed_gradients(self.network, batch.x, partial(scores, batch=batch), power)
        return total / len(experience)

    def state_dict(self) -> dict[str, Any]:
        """Return also anchors and importances."""
        kept = {"anchors": self.anchors, "importances": self.importances}
        return super().state_dict() | kept

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore also anchors and importances."""
        super().load_state_dict(state)
        device = self.info.device
        self.anchors = state["anchors"].to(device, copy=True)
        self.importances = state["importances"].to(device, copy=True)


def _gradients(network: nn.Module) -> list[Tensor]:
    """Return the gradients; every parameter takes part in the loss."""
    return [cast(Tensor, p.grad) for p in network.parameters()]


def _add_to_gradients(network: nn.Module, addition: Tensor) -> None:
    gradients = _gradients(network)
    parts = torch.split(addition, [g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.add_(part.view_as(gradient))
