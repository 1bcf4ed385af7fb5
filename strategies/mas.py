"""Memory aware synapses: importances are how far each parameter moves the network's outputs.

Aljundi et al. 2018 (ECCV, arXiv 1711.09601): loss = cross-entropy + λ Σᵢ Ωᵢ (θᵢ − θ*ᵢ)² (eq. 4), where Ω sums over the
experiences E_x |∂‖f(x)‖² / ∂θ| (eqs. 2 and 3, with the squared norm of section 4.1); it needs no labels.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from clbench.experience import Experience
from clbench.gradient import Batch, GradientParameters
from clbench.parameters import PositiveFloat
from clbench.penalties import PenaltyStrategy, vector


class MASParameters(GradientParameters):
    """Hyper-parameters of MAS."""

    strength: PositiveFloat = Field(1.0, description="λ; the paper's; tune it for each scenario")


class MAS(PenaltyStrategy):
    """Cross-entropy + λ Σ Ω (θ − θ*)²."""

    Parameters = MASParameters
    paper = "Aljundi et al. 2018, ECCV, arXiv 1711.09601"

    def consolidate(self, experience: Experience) -> None:
        """θ* ← θ, Ω ← Ω + E |∂‖f‖²/∂θ|."""
        sensitivity = self.mean_gradients(experience, squared_norm, power=1)
        self.importances = (self.importances.sum(0) + sensitivity)[None]
        self.anchors = vector(self.network)[None]


def squared_norm(logits: Tensor, batch: Batch) -> Tensor:
    """Return ‖f(x)‖² [N, 1] over the units that compete."""
    outputs = logits if batch.mask is None else logits * batch.mask
    return outputs.square().sum(1, keepdim=True)
