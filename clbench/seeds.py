"""The named seeds of a run, and generators that never touch global random state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_PURPOSES = {
    "class_order": 1,
    "change": 2,
    "samples": 3,
    "validation": 4,
    "test_order": 5,
    "memory": 6,
    "init": 7,
    "train": 8,
    "rebuild": 9,
}


@dataclass(frozen=True)
class Seeds:
    """Order (classes, permutations, samples, split), initialisation, training and memory seed."""

    order: int
    init: int
    train: int
    memory: int

    @classmethod
    def of(cls, seed: int, **overrides: int) -> Seeds:
        """Return all seeds equal to ``seed``, except those overridden by name."""
        every = {"order": seed, "init": seed, "train": seed, "memory": seed}
        return cls(**{**every, **overrides})


def derived(seed: int, purpose: str) -> int:
    """Return a 63-bit seed for one purpose, so that no two draws of a run share a sequence."""
    state = np.random.SeedSequence([seed, _PURPOSES[purpose]]).generate_state(2, np.uint32)
    return (int(state[0]) << 31) ^ int(state[1])


def numpy_generator(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """Return a numpy generator for one purpose (and, say, one experience of it)."""
    return np.random.default_rng([seed, _PURPOSES[purpose], *key])


def torch_generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator on ``device`` for one purpose."""
    import torch

    return torch.Generator(device=device).manual_seed(derived(seed, purpose))
