"""Losses of embeddings, as gradients at the layer they look at, which may then go back through a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from clbench.experience import masked


@dataclass(frozen=True)
class Pairs:
    """T pairs of samples, every second one of the same class."""

    left: Tensor
    """[T] positions."""
    right: Tensor
    """[T] positions, never those of `left`."""
    same: Tensor
    """[T] bool: whether they are of one class."""
    weight: Tensor
    """[T] 1, or 0 where a sample has no such partner."""


def draw_pairs(y: Tensor, valid: Tensor, count: int, generator: torch.Generator) -> Pairs:
    """Draw pairs of samples, which stand in a random order.

    Args:
        y: [N] labels.
        valid: [N] bool: samples that may be paired.
        count: T.
        generator: On the same device.
    """
    place = torch.arange(count, device=y.device)
    left = place % len(y)
    same = y[left, None] == y
    eligible = (same == (place % 2 == 0)[:, None]) & valid & valid[left, None]
    eligible &= left[:, None] != torch.arange(len(y), device=y.device)
    keys = torch.rand(count, len(y), generator=generator, device=y.device)
    best, right = keys.masked_fill(~eligible, -1.0).max(1)
    return Pairs(left, right, y[left] == y[right], (best >= 0).float())


def contrastive_error(key: Tensor, pairs: Pairs, margin: float) -> Tensor:
    """Return the gradient in keys [2T, K], those of a pair one behind the other.

    A pair of one class costs the squared distance of its keys, another max(0, margin − distance)².

    Args:
        key: Of the first T pairs.
        pairs: T or more.
        margin: Distance from which pairs of two classes cost nothing.
    """
    away = key[::2] - key[1::2]
    distance = away.norm(dim=1, keepdim=True).clamp_min(1e-6)
    short = (margin - distance).clamp_min(0)
    same = pairs.same[: len(away), None]
    error = torch.where(same, 2 * away, -2 * short * away / distance)
    error = error * pairs.weight[: len(away), None]
    return torch.stack([error, -error], 1).flatten(0, 1)


def cross_entropy_error(logits: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the gradient of each sample's cross-entropy in its logits [B, C], among the units that compete."""
    return masked(logits, mask).softmax(1) - functional.one_hot(y, logits.shape[1])
