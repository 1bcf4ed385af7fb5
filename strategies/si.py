"""Synaptic intelligence: importances are how much each parameter's path lowered the loss.

Zenke, Poole and Ganguli 2017 (ICML, arXiv 1703.04200): loss = cross-entropy + c Σᵢ Ωᵢ (θᵢ − θ*ᵢ)² (eq. 4), where Ω
sums ω / (Δ² + ξ) over the experiences (eq. 5): ω = −Σ g δθ along the path, Δ what the parameter moved in all.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from clbench.experience import Experience
from clbench.gradient import GradientParameters
from clbench.parameters import PositiveFloat
from clbench.penalties import PenaltyStrategy, gradient_vector, vector


class SIParameters(GradientParameters):
    """Hyper-parameters of SI."""

    strength: PositiveFloat = Field(
        1.0, description="c; the paper's on split MNIST; tune it for each scenario, over decades"
    )
    xi: PositiveFloat = Field(
        0.001, description="ξ, keeps Ω finite where Δ is 0; the paper's on split MNIST"
    )


class SI(PenaltyStrategy):
    """Cross-entropy + c Σ Ω (θ − θ*)²."""

    Parameters = SIParameters
    paper = "Zenke et al. 2017, ICML, arXiv 1703.04200"

    def begin(self, current: Experience) -> None:
        """ω ← 0 at the beginning of the path."""
        self._start = self._theta = vector(self.network)
        self._omega = torch.zeros_like(self._theta)

    def penalise(self) -> Tensor | None:
        """Take g, the gradient of the loss without the penalty, before the penalty adds its own."""
        self._gradient = gradient_vector(self.network)
        return super().penalise()

    def after_step(self) -> None:
        """ω ← ω − g δθ, where δθ is what the optimiser really did (eq. 3)."""
        theta = vector(self.network)
        self._omega -= self._gradient * (theta - self._theta)
        self._theta = theta

    def consolidate(self, experience: Experience) -> None:
        """θ* ← θ, Ω ← max(0, Ω + ω / (Δ² + ξ)), as in the authors' code."""
        moved = self._theta - self._start
        path = self._omega / (moved.square() + self.parameters.xi)
        self.importances = (self.importances.sum(0) + path).relu()[None]
        self.anchors = self._theta[None]
        del self._start, self._theta, self._omega, self._gradient
