"""Elastic weight consolidation: a quadratic penalty for each earlier experience, weighted by its Fisher information.

Kirkpatrick et al. 2017 (PNAS, arXiv 1612.00796), eq. 3: loss = cross-entropy + λ/2 Σₜ Σᵢ Fₜᵢ (θᵢ − θ*ₜᵢ)².
"""

from __future__ import annotations

import torch
from pydantic import Field

from clbench.experience import Experience
from clbench.fisher import FisherParameters, fisher_information
from clbench.parameters import PositiveFloat
from clbench.penalties import PenaltyStrategy, vector


class EWCParameters(FisherParameters):
    """Hyper-parameters of EWC."""

    strength: PositiveFloat = Field(
        400.0, description="λ; the paper's on Atari: tune it for each scenario, over decades"
    )


class EWC(PenaltyStrategy):
    """Cross-entropy + λ/2 Σₜ Fₜ (θ − θ*ₜ)², an anchor and a Fisher diagonal for each experience t."""

    Parameters = EWCParameters
    paper = "Kirkpatrick et al. 2017, PNAS, arXiv 1612.00796"

    def factor(self) -> float:
        """Return λ/2."""
        return float(self.parameters.strength) / 2

    def consolidate(self, experience: Experience) -> None:
        """Keep θ*ₜ and Fₜ beside the earlier ones."""
        F = fisher_information(self, experience)
        self.anchors = torch.cat([self.anchors, vector(self.network)[None]])
        self.importances = torch.cat([self.importances, F[None]])
