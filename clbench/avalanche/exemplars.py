"""What an Avalanche strategy keeps between experiences: exemplars, old models, importances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from avalanche.benchmarks.utils import AvalancheDataset
from torch import Tensor, nn
from torch.optim import Optimizer


class Exemplars:
    """The exemplars of a strategy, wherever it keeps them; as long as there are of them."""

    def __init__(self, learner: Any, capacity: int) -> None:
        self._learner = learner
        self.capacity = capacity
        """How many it may keep, as it was told."""

    def __len__(self) -> int:
        return sum(map(_count, _holders(self._learner)))


def _holders(learner: Any) -> list[Any]:
    """Return the objects that may hold exemplars: the strategy, its plug-ins, MER's buffer."""
    return [learner, *learner.plugins, getattr(learner, "buffer", None)]


def _count(holder: Any) -> int:
    """Return how many exemplars an object holds, by the names that Avalanche's classes give them."""
    policy = getattr(holder, "storage_policy", None)
    if policy is not None:
        return len(policy.buffer)
    for name in ("buffers", "memory_x", "x_memory"):  # of AGEM, GEM, ICaRL
        found = getattr(holder, name, None)
        if found is not None:
            parts = found.values() if isinstance(found, Mapping) else found
            return sum(map(len, parts))
    if hasattr(holder, "ext_mem_list_current_index"):  # of GSS_greedy
        return int(holder.ext_mem_list_current_index)
    dataset = getattr(holder, "dataset", None)  # of Cumulative
    return len(dataset) if isinstance(dataset, AvalancheDataset) else 0


def other_bytes(learner: Any, ours: nn.Module) -> int:
    """Return the bytes of all tensors but exemplars, ``ours``, the current model and its optimiser's state."""
    current = {id(p) for p in learner.model.parameters()} | {id(b) for b in learner.model.buffers()}
    skip = {id(part) for part in (ours, learner.model, learner.optimizer, learner.loss)}
    found = {t.data_ptr(): t for t in _tensors(learner, skip) if id(t) not in current}
    return sum(t.numel() * t.element_size() for t in found.values())


_EXEMPLARS = ("memory_x", "memory_y", "memory_tid", "x_memory", "y_memory", "ext_mem_list_x")


def _tensors(value: Any, seen: set[int]) -> Iterator[Tensor]:
    """Yield the tensors that hang on an object, except those in datasets: these are exemplars."""
    if id(value) in seen or isinstance(value, AvalancheDataset):
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from (*value.parameters(), *value.buffers())
    else:
        for part in _parts(value):
            yield from _tensors(part, seen)


def _parts(value: Any) -> Iterable[Any]:
    """Return what an object is made of, if it is a container or one of Avalanche's own."""
    if isinstance(value, Optimizer):
        return [dict(value.state)]
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, (list, tuple, set)):
        return value
    if isinstance(value, type) or not type(value).__module__.startswith("avalanche"):
        return ()
    return [part for name, part in vars(value).items() if name not in _EXEMPLARS]
