"""The one exemplar memory: preallocated tensors on the device, one policy, no draw of its own.

What is kept depends only on the policy and on the priorities that come with the samples (drawn by the memory seed),
so strategies with the same policy that are offered the same samples keep the identical exemplars.

A call of `draw`, or of `add` under ``balanced``, permutes or sorts all M exemplars: O(M) but for a logarithm, that is
O(M/n) for each of its n samples. It is the price of distinct draws and equal shares without a synchronisation;
``reservoir`` adds in O(1) per sample.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from clbench.experience import Experience, StreamInfo

Policy = Literal["reservoir", "balanced", "everything"]


class Memory:
    """Exemplars at stored dtype.

    Policies:
        * ``reservoir``: a uniform sample of all samples offered (Vitter 1985, algorithm R).
        * ``balanced``: an equal share per group seen (class; (task, class) or (domain, class) where the stream has
          them), within a group a uniform sample; unused shares go to the other groups.
        * ``everything``: no limit (joint training).

    Args:
        capacity: Exemplars at most; ignored by ``everything``.
        policy: See above.
        info: Shapes, number of units and device.
    """

    def __init__(self, capacity: int, policy: Policy, info: StreamInfo) -> None:
        self.capacity = capacity
        self.policy = policy
        self.offered = 0
        self._classes = info.classes
        device = info.device
        self._x = torch.empty((0, *info.shape), dtype=info.dtype, device=device)
        self._group = torch.empty(0, dtype=torch.int64, device=device)
        self._priority = torch.empty(
            0, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device
        )

    def __len__(self) -> int:
        return len(self._x) if self.policy != "reservoir" else min(self.offered, self.capacity)

    @property
    def x(self) -> Tensor:
        """[M, C, H, W] stored images."""
        return self._x[: len(self)]

    @property
    def group(self) -> Tensor:
        """[M] unit + C · row."""
        return self._group[: len(self)]

    @property
    def y(self) -> Tensor:
        """[M] output units."""
        return self.group % self._classes

    @property
    def row(self) -> Tensor:
        """[M] task of each exemplar (task-incremental), domain, or 0."""
        return self.group // self._classes

    def add(self, samples: Experience) -> None:
        """Offer samples; the policy decides which are kept."""
        if self.policy != "everything" and self.capacity == 0:
            return
        getattr(self, f"_add_{self.policy}")(samples)
        self.offered += len(samples)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return the positions of ``count`` distinct exemplars (all, if there are fewer), [count]."""
        order = torch.randperm(len(self), generator=generator, device=self._x.device)
        return order[:count]

    def _add_everything(self, samples: Experience) -> None:
        self._x = torch.cat([self._x, samples.x])
        self._group = torch.cat([self._group, samples.group])
        self._priority = torch.cat([self._priority, samples.priority])

    def _add_balanced(self, samples: Experience) -> None:
        """Keep the lowest priorities of each group, going round the groups until the memory is full."""
        self._add_everything(samples)
        by_priority = self._priority.argsort(stable=True)
        order = by_priority[self._group[by_priority].argsort(stable=True)]
        group = self._group[order]
        start = torch.searchsorted(group, group)  # where each one's group begins
        rank = torch.arange(len(group), device=group.device) - start
        keep = order[rank.argsort(stable=True)[: self.capacity]]
        self._x, self._group = self._x[keep], self._group[keep]
        self._priority = self._priority[keep]

    def _add_reservoir(self, samples: Experience) -> None:
        """Sample number n takes slot n while there is room, then slot ⌊u·n⌋ if that is a slot."""
        self._allocate()
        count, device = len(samples), self._x.device
        number = torch.arange(self.offered, self.offered + count, device=device)
        slot = (samples.priority * (number + 1)).long().clamp(max=self.capacity)
        slot = torch.where(number < self.capacity, number, slot)
        last = torch.full((self.capacity + 1,), -1, device=device)
        position = torch.arange(count, device=device)
        last.scatter_reduce_(0, slot, position, "amax")  # of several for one slot, the last stays
        slot = torch.where(last[slot] == position, slot, self.capacity)
        self._x[slot] = samples.x  # row `capacity` is the bin for what is not kept
        self._group[slot] = samples.group
        self._priority[slot] = samples.priority
        self._x[self.capacity] = 0  # it is gone

    def _allocate(self) -> None:
        if len(self._x) == self.capacity + 1:
            return
        rows = self.capacity + 1
        self._x = self._x.new_zeros((rows, *self._x.shape[1:]))
        self._group = self._group.new_zeros(rows)
        self._priority = self._priority.new_zeros(rows)

    def bytes(self) -> int:
        """Return the bytes of what is kept: images, labels with their task, priorities."""
        tensors = (self._x, self._group, self._priority)
        return sum(len(self) * t.element_size() * t[:1].numel() for t in tensors if len(t))

    def state_dict(self) -> dict[str, Any]:
        """Return what must survive between experiences."""
        return {
            "x": self.x,
            "group": self.group,
            "priority": self._priority[: len(self)],
            "offered": self.offered,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore from `state_dict`."""
        self.offered = state["offered"]
        if self.policy == "reservoir":
            self._allocate()
            rows = slice(0, len(self))
            self._x[rows], self._group[rows] = state["x"], state["group"]
            self._priority[rows] = state["priority"]
        else:
            device = self._x.device
            self._x, self._group = state["x"].clone().to(device), state["group"].clone().to(device)
            self._priority = state["priority"].clone().to(device)
