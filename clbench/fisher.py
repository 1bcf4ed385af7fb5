"""The diagonal of the Fisher information, sample by sample.

F = E_x E_{y ~ p(y|x)} [(∂ log p(y|x) / ∂θ)²]. Van de Ven 2025 (arXiv 2502.11756) compares the ways in which it is
computed and how far they move published numbers; the square of a batch's gradient is none of these here.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from clbench.experience import Experience, masked
from clbench.gradient import Batch, GradientParameters
from clbench.parameters import PositiveInt
from clbench.penalties import PenaltyStrategy


class FisherParameters(GradientParameters):
    """Hyper-parameters of a strategy whose importances are the Fisher information."""

    fisher: Literal["exact", "sampled", "predicted", "empirical"] = Field(
        "exact",
        description="labels y: all, weighted by p(y|x); one drawn from p(y|x); the likeliest one"
        " (Hsu et al. 2018); the true one",
    )
    fisher_samples: PositiveInt | None = Field(
        None, description="samples of an experience that the expectation is over; none is all"
    )


def fisher_information(strategy: PenaltyStrategy, experience: Experience) -> Tensor:
    """Return F [P] of a strategy's network on an experience, y ranging over the units that competed in training.

    ``exact`` costs a backward pass over the samples for each of those units, the other ways one.
    """
    p = strategy.parameters

    def log_likelihoods(logits: Tensor, batch: Batch) -> Tensor:
        """Return [N, K] scores whose gradients' squares add up to each sample's information."""
        log_p = masked(logits, batch.mask).log_softmax(1)
        if p.fisher == "exact":
            log_p = log_p[:, _competing(batch)]
            return (log_p.detach() / 2).exp() * log_p  # √p log p: squared, p (∂ log p)²
        if p.fisher == "sampled":
            y = torch.multinomial(log_p.detach().exp(), 1, generator=strategy.generator)
        else:
            y = log_p.argmax(1, keepdim=True) if p.fisher == "predicted" else batch.y[:, None]
        return log_p.gather(1, y)

    return strategy.mean_gradients(experience[: p.fisher_samples], log_likelihoods, power=2)


def _competing(batch: Batch) -> Tensor | slice:
    """Return the units that compete, the same for every sample of an experience."""
    if batch.mask is None:
        return slice(None)
    mask = batch.mask if batch.mask.ndim == 1 else batch.mask[0]
    return mask.nonzero().flatten()
