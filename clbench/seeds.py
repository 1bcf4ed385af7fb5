"""The named seeds of a run, and generators that never touch global random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from clbench.errors import UsageError

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
    "train_episodes": 10,
    "validation_episodes": 11,
    "test_episodes": 12,
    "global": 13,
    "test_sample": 14,
    "head": 15,
    "base": 16,
    "problem": 17,
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
        """Return all seeds equal to ``seed``, except those overridden by name.

        Raises:
            UsageError: One is negative.
        """
        for value in (seed, *overrides.values()):
            if value < 0:
                raise UsageError(f"a seed must be 0 or more, not {value}")
        every = {"order": seed, "init": seed, "train": seed, "memory": seed}
        return cls(**{**every, **overrides})


def _sequence(seed: int, purpose: str, *key: int) -> np.random.SeedSequence:
    """Return what seeds a draw; no two of a run share it.

    As a plain list, [seed, purpose] and [seed, purpose, 0] would be the same entropy; a spawn key keeps its length.
    """
    return np.random.SeedSequence(seed, spawn_key=(_PURPOSES[purpose], *key))


def derived(seed: int, purpose: str) -> int:
    """Return a 63-bit seed for one purpose."""
    state = _sequence(seed, purpose).generate_state(2, np.uint32)
    return (int(state[0]) << 31) ^ int(state[1])


def of_second_problem(seeds: Seeds) -> Seeds:
    """Return the seeds of a run's second problem of episodes; the memory's is the same."""
    second = {name: derived(getattr(seeds, name), "problem") for name in ("order", "init", "train")}
    return replace(seeds, **second)


def numpy_generator(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """Return a numpy generator for one purpose (and, say, one experience of it)."""
    return np.random.default_rng(_sequence(seed, purpose, *key))


def torch_generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator on ``device`` for one purpose."""
    import torch

    return torch.Generator(device=device).manual_seed(derived(seed, purpose))


@contextmanager
def initialised_by(seed: int) -> Iterator[None]:
    """Let the layers built inside draw their weights by an init seed alone, on the CPU.

    The global generator is as before afterwards. `torch.manual_seed` would reseed that of every device as well.
    """
    import torch

    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(derived(seed, "init"))
    try:
        yield
    finally:
        generator.set_state(before)


@contextmanager
def global_state_of_a_run(seed: int) -> Iterator[None]:
    """Seed torch's global generators for a run and leave those outside as they were.

    clbench itself draws from named generators only; this is for layers such as dropout, which know no other.
    """
    import torch

    before = global_state()
    torch.manual_seed(derived(seed, "global"))
    try:
        yield
    finally:
        set_global_state(before)


def global_state() -> list[torch.Tensor]:
    """Return the state of torch's global generators: the CPU's, and CUDA's if it is in use."""
    import torch

    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return [torch.get_rng_state(), *cuda]


def set_global_state(state: list[torch.Tensor]) -> None:
    """Set what `global_state` returned."""
    import torch

    cpu, *cuda = state
    torch.set_rng_state(cpu)
    if cuda:
        torch.cuda.set_rng_state_all(cuda)
