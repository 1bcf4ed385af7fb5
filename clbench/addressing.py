"""External memories of a recurrent network: how one batched time step writes to their slots and reads from them.

Least-recently-used access (LRUA) of Santoro et al. 2016 (ICML, arXiv 1605.06065), the addressing of the Neural Turing
Machine (Graves et al. 2014, arXiv 1410.5401), and none. A memory's state is a tuple of tensors that begin with the
batch axis; a step takes one and returns the next, and changes none. First it writes, then it reads.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

Slots = tuple[Tensor, ...]

EMPTY = 1e-6
"""What every number of a memory begins with."""


class Addressing(nn.Module):
    """An external memory.

    Attributes:
        width: Numbers read in a time step, those of all heads together.
    """

    width: int

    @abstractmethod
    def initial(self, batch: int, like: Tensor) -> Slots:
        """Return the state that every sequence begins with, with the device and dtype of ``like``."""

    @abstractmethod
    def step(self, h: Tensor, slots: Slots, valid: Tensor | None = None) -> tuple[Tensor, Slots]:
        """Write and read, as the controller's outputs h [B, H] say; return what was read [B, width], and the state.

        Args:
            h: The controller's outputs.
            slots: The state.
            valid: [B] bool: sequences whose state changes; None for all.
        """


class NoMemory(Addressing):
    """Nothing is kept beside the controller's own state."""

    width = 0

    def initial(self, batch: int, like: Tensor) -> Slots:
        """Return nothing."""
        return ()

    def step(self, h: Tensor, slots: Slots, valid: Tensor | None = None) -> tuple[Tensor, Slots]:
        """Return nothing."""
        return h[:, :0], slots


class LRUA(Addressing):
    """Least-recently-used access: content is written to slots just read, or in the place of the least used ones.

    Args:
        inputs: H, the controller's outputs.
        slots: N.
        size: D, numbers in a slot.
        heads: R; each reads, and writes by the same key. The h-th one's least used slot is the h-th least used.
        decay: γ of the usage.
    """

    def __init__(self, inputs: int, slots: int, size: int, heads: int, decay: float) -> None:
        super().__init__()
        self.emit = nn.Linear(inputs, heads * (size + 1))
        self.width = heads * size
        self._shape, self._heads, self._decay = (slots, size), heads, decay

    def initial(self, batch: int, like: Tensor) -> Slots:
        """Return M [B, N, D], the read weights [B, R, N] and the usage [B, N]; all begin at slot 0."""
        M = like.new_full((batch, *self._shape), EMPTY)
        weights = first_slot(like.new_zeros(batch, self._heads, self._shape[0]))
        return M, weights, weights[:, 0]

    def step(self, h: Tensor, slots: Slots, valid: Tensor | None = None) -> tuple[Tensor, Slots]:
        """Erase and write the slots that the usage names, then read by content."""
        M, before, usage = slots
        emitted = self.emit(h).view(len(h), self._heads, self._shape[1] + 1)
        key, alpha = torch.split(emitted, [self._shape[1], 1], 2)
        key, gate = key.tanh(), alpha.sigmoid()
        least = least_used(usage, self._heads)
        write = gate * before + (1 - gate) * least
        M = M * (1 - _of(valid, least).sum(1))[:, :, None] + _of(valid, write).mT @ key
        read = cosine(key, M).softmax(2)
        after = self._decay * usage + (read + write).detach().sum(1)
        return (read @ M).flatten(1), (M, chosen(valid, read, before), chosen(valid, after, usage))


class NTM(Addressing):
    """A Neural Turing Machine's heads, by content and by location: R read, one writes (erase, then add).

    Args:
        inputs: H, the controller's outputs.
        slots: N.
        size: D, numbers in a slot.
        heads: R.
    """

    def __init__(self, inputs: int, slots: int, size: int, heads: int) -> None:
        super().__init__()
        self.emit = nn.Linear(inputs, (heads + 1) * (size + 6))
        self.emit_write = nn.Linear(inputs, 2 * size)
        self.width = heads * size
        self._shape, self._heads = (slots, size), heads

    def initial(self, batch: int, like: Tensor) -> Slots:
        """Return M [B, N, D] and the weights of all heads, the writing one last, [B, R+1, N]."""
        M = like.new_full((batch, *self._shape), EMPTY)
        return M, first_slot(like.new_zeros(batch, self._heads + 1, self._shape[0]))

    def step(self, h: Tensor, slots: Slots, valid: Tensor | None = None) -> tuple[Tensor, Slots]:
        """Write by the last head's weights, then read by the others'."""
        M, before = slots
        emitted = self.emit(h).view(len(h), self._heads + 1, self._shape[1] + 6)
        erase, add = self.emit_write(h).chunk(2, 1)
        write = address(emitted[:, -1:], M, before[:, -1:])
        written = _of(valid, write).mT
        M = M * (1 - written * erase.sigmoid()[:, None]) + written * add.tanh()[:, None]
        read = address(emitted[:, :-1], M, before[:, :-1])
        after = torch.cat([read, write], 1)
        return (read @ M).flatten(1), (M, chosen(valid, after, before))


def chosen(valid: Tensor | None, new: Tensor, old: Tensor) -> Tensor:
    """Return the new tensor [B, …] of sequences that are valid, the old one of the others."""
    return new if valid is None else torch.where(valid.view(-1, *[1] * (new.ndim - 1)), new, old)


def _of(valid: Tensor | None, weights: Tensor) -> Tensor:
    """Return weights [B, R, N], zeros where a sequence is not valid.

    So M, the largest tensor, stays as it was without a choice afterwards.
    """
    return weights if valid is None else weights * valid[:, None, None]


def first_slot(zeros: Tensor) -> Tensor:
    """Return weights [B, R, N] that are all on slot 0."""
    zeros[:, :, 0] = 1
    return zeros


def cosine(key: Tensor, slots: Tensor) -> Tensor:
    """Return the cosine of keys [B, R, D] and slots [B, N, D], [B, R, N]; an empty slot is like nothing."""
    return (key * _inverse_norm(key)) @ slots.mT * _inverse_norm(slots).mT


def _inverse_norm(x: Tensor) -> Tensor:
    return (x.square().sum(-1, keepdim=True) + 1e-8).rsqrt()  # finite for a slot of zeros, too


def least_used(usage: Tensor, count: int) -> Tensor:
    """Return the ``count`` least used slots of a usage [B, N], each as a one-hot row, [B, count, N].

    Least used first; of equally used ones the first.
    """
    slots = usage.sort(dim=1, stable=True).indices[:, :count]
    return functional.one_hot(slots, usage.shape[1]).to(usage.dtype)


def address(emitted: Tensor, slots: Tensor, before: Tensor) -> Tensor:
    """Return the weights [B, R, N] that heads of an NTM give to the slots [B, N, D].

    Args:
        emitted: [B, R, D + 6]: key, then what becomes key strength β, gate g, shifts by −1, 0 and 1, sharpness γ.
        slots: The memory.
        before: The heads' weights of the time step before.
    """
    key, beta, gate, shift, gamma = torch.split(emitted, [slots.shape[2], 1, 1, 3, 1], 2)
    content = (functional.softplus(beta) * cosine(key.tanh(), slots)).softmax(2)
    weights = interpolated(content, before, gate.sigmoid())
    return sharpened(shifted(weights, shift.softmax(2)), 1 + functional.softplus(gamma))


def interpolated(content: Tensor, before: Tensor, gate: Tensor) -> Tensor:
    """Return g·content + (1 − g)·before."""
    return gate * content + (1 - gate) * before


def shifted(weights: Tensor, shift: Tensor) -> Tensor:
    """Return Σⱼ w(j) s(i − j), circular; s [B, R, 3] are the shares of the shifts by −1, 0 and 1.

    All weight on the shift by 1 moves what is at slot i to slot i + 1.
    """
    moved = torch.stack([weights.roll(step, 2) for step in (-1, 0, 1)], 3)
    return (moved @ shift[:, :, :, None]).squeeze(3)


def sharpened(weights: Tensor, gamma: Tensor) -> Tensor:
    """Return wᵞ, scaled to sum 1."""
    powers = weights.clamp_min(1e-12).pow(gamma)  # the gradient of a power has no value at 0
    return powers / powers.sum(2, keepdim=True)
