"""Fast weights of a dense layer, without repetitions.

A dense layer's gradient for one example is e hᵀ: where inputs are equal, its columns are, and so are the columns of
whatever is generated of it number by number. An image has a black background, a ReLU silent units: often most of h is
its least number. Those inputs share a column here, which leaves a fifth of the columns of MNIST's images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from clbench.meta_gradients import on_cpu

_WORTHWHILE = 0.6
"""Up to this share of columns of their own, sharing is faster than not."""
_BLOCK = 1024
"""Columns at a time: what is made of them for 256 samples fits the cache."""


@dataclass(frozen=True)
class Columns:
    """Which inputs [N, in] of N examples share a column; K of all have one of their own."""

    example: Tensor
    """[K]."""
    place: Tensor
    """[K] places of the inputs, below in."""
    shared: Tensor
    """[N, in] 1 where an input shares its example's column, else 0."""
    value: Tensor
    """[K + N, 1] the inputs; first those alone, then the one shared by each example."""

    @classmethod
    def of(cls, h: Tensor) -> Self | None:
        """Return the columns of inputs [N, in], the least of an example being shared; None where it does not pay.

        Elsewhere than on a CPU counting them would synchronise.
        """
        if not on_cpu(h):
            return None
        least = h.amin(1, keepdim=True)
        shared = h == least
        example, place = (~shared).nonzero(as_tuple=True)
        if len(example) > _WORTHWHILE * h.numel():
            return None
        value = torch.cat([h[example, place][:, None], least])
        return cls(example, place, shared.to(h.dtype), value)

    def gradients(self, error: Tensor) -> Tensor:
        """Return the different columns of each example's gradient, [K + N, out], of errors [N, out]."""
        return torch.cat([error.index_select(0, self.example), error]) * self.value


@dataclass(frozen=True)
class ColumnWeights:
    """Fast weights [N, out, in] of N examples."""

    columns: Columns
    weight: Tensor
    """[K + N, out]."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, out, in)."""
        examples, inputs = self.columns.shared.shape
        return examples, self.weight.shape[1], inputs

    @property
    def nbytes(self) -> int:
        """The bytes of what is held."""
        columns = self.columns
        held = (columns.example, columns.place, columns.shared, columns.value, self.weight)
        return sum(t.nbytes for t in held)

    def read(self, a: Tensor, h: Tensor) -> Tensor:
        """Return Σⱼ aⱼ memoryⱼ h for samples h [B, in], weighted by a [B, N]: [B, out].

        Each sample's aⱼ hᵢ for column i of example j, or aⱼ Σᵢ hᵢ for a shared one, times that column.
        """
        a, h, columns = a.T.contiguous(), h.T.contiguous(), self.columns
        alone, shared = torch.split(self.weight, [len(columns.example), len(a)])
        read: Tensor = (a * (columns.shared @ h)).T @ shared
        blocks = (torch.split(t, _BLOCK) for t in (columns.example, columns.place, alone))
        for example, place, weight in zip(*blocks, strict=True):
            coefficient = a.index_select(0, example) * h.index_select(0, place)
            read = read + coefficient.T @ weight
        return read
