"""L2: a quadratic penalty towards the parameters after the last experience, all of them weighing the same.

The baseline of Kirkpatrick et al. 2017 (PNAS, arXiv 1612.00796, Figure 2) with one anchor, as in Hsu et al. 2018
(arXiv 1810.12488): loss = cross-entropy + λ/2 ‖θ − θ*‖².
"""

from __future__ import annotations

import torch
from pydantic import Field

from clbench.experience import Experience
from clbench.gradient import GradientParameters
from clbench.parameters import PositiveFloat
from clbench.penalties import PenaltyStrategy, vector


class L2Parameters(GradientParameters):
    """Hyper-parameters of L2."""

    strength: PositiveFloat = Field(1.0, description="λ; no paper's: tune it for each scenario")


class L2(PenaltyStrategy):
    """Cross-entropy + λ/2 ‖θ − θ*‖²."""

    Parameters = L2Parameters
    paper = "Kirkpatrick et al. 2017, PNAS, arXiv 1612.00796"

    def factor(self) -> float:
        """Return λ/2."""
        return float(self.parameters.strength) / 2

    def consolidate(self, experience: Experience) -> None:
        """θ* ← θ."""
        self.anchors = vector(self.network)[None]
        self.importances = torch.ones(1, 1, device=self.anchors.device)
