"""An LSTM controller with an external memory: one batched time step, and sequences of them.

At time t it is fed an image, the label of the image before, y_{t−1}, and what it read before, r_{t−1} (Santoro et al.
2016, ICML). Nothing is changed in place, so a state can be asked again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.addressing import Addressing, chosen


@dataclass(frozen=True)
class State:
    """What the network knows at a time, of B sequences."""

    hr: Tensor
    """The controller's output and what was read last [B, H + R·D]."""
    c: Tensor
    """The controller's cell [B, H]."""
    label: Tensor
    """The last label, one-hot [B, C]; zeros before the first."""
    slots: tuple[Tensor, ...]
    """The external memory's state."""

    def map(self, change: Callable[[Tensor], Tensor]) -> State:
        """Return the state with each tensor changed."""
        hr, c, label, *slots = map(change, self.tensors())
        return State(hr, c, label, tuple(slots))

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all of them."""
        return (self.hr, self.c, self.label, *self.slots)

    def bytes(self) -> int:
        """Return the bytes of the state."""
        return sum(t.numel() * t.element_size() for t in self.tensors())


class MANNetwork(nn.Module):
    """An LSTM controller, an external memory and a linear output layer.

    Args:
        pixels: P, numbers of an image.
        units: C.
        controller: H.
        memory: The external memory, for H inputs.
    """

    def __init__(self, pixels: int, units: int, controller: int, memory: Addressing) -> None:
        super().__init__()
        self.memory, self.units = memory, units
        self.see = nn.Linear(pixels, 4 * controller)
        self.hear = nn.Linear(units, 4 * controller, bias=False)
        self.recur = nn.Linear(controller + memory.width, 4 * controller, bias=False)
        self.out = nn.Linear(controller + memory.width, units)

    def initial(self, batch: int) -> State:
        """Return the state that every sequence begins with."""
        weight = self.out.weight
        hr = weight.new_zeros(batch, weight.shape[1])
        label = weight.new_zeros(batch, self.units)
        return State(hr, hr[:, self.memory.width :], label, self.memory.initial(batch, weight))

    def step(self, seen: Tensor, state: State, valid: Tensor | None = None) -> State:
        """Return the state after images seen [B, 4H], their label not yet told; `out` makes logits of its ``hr``.

        The external memory of sequences that are not valid [B] is as it was.
        """
        H = state.c.shape[1]
        gates = seen + self.hear(state.label) + self.recur(state.hr)
        keep, admit, show = gates[:, : 3 * H].sigmoid().chunk(3, 1)
        c = keep * state.c + admit * gates[:, 3 * H :].tanh()
        h = show * c.tanh()
        r, slots = self.memory.step(h, state.slots, valid)
        return State(torch.cat([h, r], 1), c, state.label, slots)

    def run(
        self, x: Tensor, y: Tensor, valid: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Return logits [B, S, C] of sequences, each before its label is told, and the state at their ends.

        Args:
            x: [B, S, c, H, W] images.
            y: [B, S] units.
            valid: [B, S] bool: places that hold an image; the others change nothing. None for all.
            state: Where to begin; None begins anew.
        """
        state = self.initial(len(x)) if state is None else state
        seen = self.see(x.flatten(2)).unbind(1)
        labels = functional.one_hot(y, self.units).to(seen[0].dtype).unbind(1)
        count = [None] * len(seen) if valid is None else valid.unbind(1)
        told = []
        for image, label, counts in zip(seen, labels, count, strict=True):
            after = replace(self.step(image, state, counts), label=label)
            told.append(after.hr)
            state = _chosen(counts, after, state)
        return self.out(torch.stack(told, 1)), state

    def ask(self, x: Tensor, state: State) -> Tensor:
        """Return logits [B, L, C] of queries [B, L, c, H, W], each from a copy of the state."""
        batch, count = x.shape[:2]
        copies = state.map(lambda tensor: tensor.repeat_interleave(count, 0))
        after = self.step(self.see(x.flatten(2)).flatten(0, 1), copies)
        logits: Tensor = self.out(after.hr)
        return logits.view(batch, count, self.units)


def _chosen(valid: Tensor | None, new: State, old: State) -> State:
    """Return the new state of those sequences [B] that are valid, the old one of the others."""
    hr, c, label = (
        chosen(valid, *pair) for pair in ((new.hr, old.hr), (new.c, old.c), (new.label, old.label))
    )
    return State(hr, c, label, new.slots)
