"""What MetaNet knows of a support set: the set itself, the memory made of it, and sums over its examples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clbench.augmented import FastWeights
from clbench.representation import Pairs


@dataclass(frozen=True)
class Support:
    """A support set of N images."""

    x: Tensor
    """[N, c, H, W]."""
    y: Tensor
    """[N] units."""
    valid: Tensor
    """[N] bool: places that hold a sample."""
    mask: Tensor
    """[C] bool: units that compete."""
    pairs: Pairs | None
    """Of the contrastive loss; None takes cross-entropy."""
    classifier: Tensor | None
    """[C, K] weights on top of the keys that are never learnt, of the cross-entropy; None takes pairs."""


@dataclass(frozen=True)
class FastMemory:
    """What MetaNet knows of a support set."""

    weights: list[FastWeights]
    """M: per layer of b the fast weights of each example, of shape [N, out, in]."""
    index: Tensor
    """R: normalised keys, [N, K]."""
    task: list[Tensor] | None
    """Q*: task-level fast weights of u."""
    base: list[Tensor] | None
    """Task-level fast weights of b: MetaNet+."""
    y: Tensor
    """[N] units of the examples."""
    valid: Tensor
    """[N] bool: places that hold one."""

    @property
    def units(self) -> int:
        """C."""
        return self.weights[-1].shape[1]

    def bytes(self) -> int:
        """Return the bytes of M, R and Q*."""
        held = [*self.weights, self.index, *(self.task or []), *(self.base or [])]
        return sum(each.nbytes for each in held)


def largest_of_units(scores: Tensor, memory: FastMemory) -> Tensor:
    """Return the largest score [L, N] among the examples of each unit, [L, C]."""
    lowest = scores.new_full((len(scores), memory.units), -torch.inf)
    return lowest.scatter_reduce(1, memory.y.expand_as(scores), scores, "amax")


def mean_of_parts(gradients: Tensor, valid: Tensor, chunks: int) -> Tensor:
    """Return the means of ``chunks`` parts of gradients [N, out, in], which are 0 where not valid; [T, out, in]."""
    parts = min(chunks, len(gradients))
    size = len(gradients) // parts
    total = gradients[: parts * size].reshape(parts, size, *gradients.shape[1:]).sum(1)
    return total / samples_of_parts(valid, parts, size)


def samples_of_parts(valid: Tensor, parts: int, size: int) -> Tensor:
    """Return how many of each part's places hold a sample, 1 for none; [T, 1, 1]."""
    return valid[: parts * size].view(parts, size, 1).sum(1, keepdim=True).clamp(min=1)
