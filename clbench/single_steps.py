"""Plain SGD on one sample after the other, for MLPs: the gradient by hand, in place, several times as fast as autograd.

A linear layer's gradient for one sample is the outer product e hᵀ of the error at its output and its input, so a step
is a matrix-vector product per layer forward, one backward, and a rank-1 update.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.experience import masked
from clbench.gradient import Batch, GradientStrategy
from clbench.networks import MLP

Layers = Sequence[tuple[Tensor, Tensor]]
"""Weight [B, A] and bias [B] of each layer."""


class SingleSteps(GradientStrategy):
    """A strategy that learns the samples of a batch one after the other, by a step of plain SGD each."""

    singly: bool = True
    """Whether it does; else it takes one step on the batch as a whole."""

    def parts(self, batch: Batch) -> Sequence[Batch]:
        """Return the samples."""
        if not self.singly:
            return (batch,)
        return [batch[number : number + 1] for number in range(len(batch))]

    def step(self, batch: Batch) -> None:
        """Take the steps, those of an MLP by hand."""
        by_hand = self.singly and type(self).loss is GradientStrategy.loss
        if by_hand and isinstance(self.network, MLP):
            descend(self.network, batch.x, batch.y, batch.mask, self.parameters.lr)
            self.count(batch)
        else:
            super().step(batch)

    def count(self, batch: Batch, loss: Any = None) -> None:
        """Note samples that were learnt; there is no loss of steps that were made by hand."""
        self.effort.samples_seen += len(batch)


@torch.no_grad()
def descend(network: MLP, x: Tensor, y: Tensor, mask: Tensor | None, lr: float) -> None:
    """Take a step θ ← θ − lr ∇CE(θ; xₙ, yₙ) for each sample n in turn.

    Args:
        network: Changed in place.
        x: [N, …] normalised images.
        y: [N] units.
        mask: [C] or [N, C] bool: the units that compete; None for all.
        lr: Learning rate.
    """
    layers = [(layer.weight, layer.bias) for layer in cast(Sequence[nn.Linear], network.layers)]
    target = functional.one_hot(y, len(layers[-1][1])).float()
    closed = masked(torch.zeros_like(target), mask)  # added to logits: −∞ where a unit is masked
    for sample in zip(x.flatten(1), target, closed, strict=True):
        _step(layers, *sample, lr)


def _step(layers: Layers, x: Tensor, target: Tensor, closed: Tensor, lr: float) -> None:
    """Take a step for one sample [D]."""
    inputs = [x]
    for weight, bias in layers[:-1]:
        inputs.append(torch.addmv(bias, weight, inputs[-1]).relu_())
    weight, bias = layers[-1]
    logits = torch.addmv(bias, weight, inputs[-1]).add_(closed)
    error = logits.softmax(0).sub_(target)
    for depth in reversed(range(len(layers))):
        (weight, bias), h = layers[depth], inputs[depth]
        below = weight.mT.mv(error).mul_(h.sign()) if depth else error  # h ≥ 0, ReLU's slope 0 or 1
        weight.addr_(error, h, alpha=-lr)
        bias.sub_(error, alpha=lr)
        error = below
