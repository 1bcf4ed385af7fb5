"""Online elastic weight consolidation: one penalty, its Fisher information a decaying sum over the experiences.

Schwarz et al. 2018, "Progress & Compress" (ICML, arXiv 1805.06370), after Huszár 2018 (PNAS, arXiv 1712.03847):
loss = cross-entropy + λ/2 Σᵢ F̃ᵢ (θᵢ − θ*ᵢ)², where θ* are the parameters after the last experience and F̃ ← γ F̃ + Fₜ.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from clbench.experience import Experience
from clbench.fisher import FisherParameters, fisher_information
from clbench.parameters import PositiveFloat
from clbench.penalties import PenaltyStrategy, vector


class OnlineEWCParameters(FisherParameters):
    """Hyper-parameters of online EWC."""

    strength: PositiveFloat = Field(
        400.0, description="λ; EWC's on Atari: tune it for each scenario, over decades"
    )
    gamma: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="γ, what earlier Fisher information decays by at each experience"
    )


class OnlineEWC(PenaltyStrategy):
    """Cross-entropy + λ/2 F̃ (θ − θ*)²."""

    Parameters = OnlineEWCParameters
    paper = "Schwarz et al. 2018, ICML, arXiv 1805.06370"

    def factor(self) -> float:
        """Return λ/2."""
        return float(self.parameters.strength) / 2

    def consolidate(self, experience: Experience) -> None:
        """θ* ← θ, F̃ ← γ F̃ + Fₜ."""
        earlier = self.parameters.gamma * self.importances.sum(0)  # 0 before the first
        self.importances = (earlier + fisher_information(self, experience))[None]
        self.anchors = vector(self.network)[None]
