"""Drawing episodes from grouped samples, on the device, with fixed shapes and without a synchronisation.

An episode asks: given a few labelled samples (support), what are these (query)? Labels are permuted over the C output
units in every episode, so that label information can only come through the support set.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """Samples drawn for an episode of n groups; support and query share none."""

    groups: Tensor
    """[n] the groups."""
    support: Tensor
    """[n, shots] positions of support samples."""
    support_valid: Tensor
    """[n, shots] bool: places that are not empty."""
    query: Tensor
    """[n, queries] positions of query samples."""
    query_valid: Tensor
    """[n, queries] bool."""


class Pool:
    """Samples ready to be drawn from, group by group.

    Args:
        group: [N] int64 group of each sample: its class, or class and domain.
        groups: How many groups there can be.
        largest: An upper bound of the samples in a group; None counts them, which synchronises.
    """

    def __init__(self, group: Tensor, groups: int, largest: int | None = None) -> None:
        # On a GPU bincount synchronises.
        self.count = group.new_zeros(groups).scatter_add_(0, group, torch.ones_like(group))
        self._start = self.count.cumsum(0) - self.count
        self._order = group.argsort(stable=True)
        self._largest = int(self.count.max()) if largest is None else largest

    def choose(self, ways: int, generator: torch.Generator, among: Tensor | None = None) -> Tensor:
        """Return ``ways`` distinct groups that have samples (empty ones only if there are too few), [ways].

        Args:
            ways: How many.
            generator: On the pool's device.
            among: [groups] bool that restricts the choice.
        """
        eligible = self.count > 0 if among is None else (self.count > 0) & among
        keys = torch.rand(len(eligible), generator=generator, device=eligible.device)
        return torch.where(eligible, keys, 2.0).topk(ways, largest=False).indices

    def draw(self, groups: Tensor, shots: int, queries: int, generator: torch.Generator) -> Draw:
        """Draw distinct samples of each group, support and query apart.

        A group too small for both gives half of its samples to the query; a single sample is support.

        Args:
            groups: [n] from `choose`.
            shots: Support samples of each.
            queries: Query samples of each.
            generator: On the pool's device.
        """
        count = self.count[groups, None]
        device = count.device
        places = min(shots + queries, self._largest)
        keys = torch.rand(len(groups), self._largest, generator=generator, device=device)
        keys[torch.arange(self._largest, device=device) >= count] = 2.0
        picked = self._start[groups, None] + keys.topk(places, largest=False).indices
        rows = self._order[picked.clamp(max=len(self._order) - 1)]
        for_query = torch.maximum(count - shots, count // 2).clamp(max=queries)
        for_support = (count - for_query).clamp(max=shots)
        query = torch.arange(queries, device=device).expand(len(groups), -1)
        support = torch.arange(shots, device=device).expand(len(groups), -1)
        return Draw(
            groups=groups,
            support=rows.gather(1, (support + for_query).clamp(max=places - 1)),
            support_valid=support < for_support,
            query=rows.gather(1, query.clamp(max=places - 1)),
            query_valid=query < for_query,
        )
