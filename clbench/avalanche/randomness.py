"""Randomness of its own for code that draws from the global generators, as Avalanche does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from clbench.seeds import derived, global_state, set_global_state


class Randomness:
    """States of the global generators of torch, numpy and Python, used inside `here` only."""

    def __init__(self, seed: int) -> None:
        """Seed them by a train seed."""
        before = _states()
        number = derived(seed, "train")
        torch.manual_seed(number)
        random.seed(number)
        np.random.seed(number % 2**32)  # noqa: NPY002 (it is the global state that is meant)
        self._own = _states()
        _set(before)

    @contextmanager
    def here(self) -> Iterator[None]:
        """Put these states in the place of the global ones; whatever is drawn inside moves these."""
        before = _states()
        _set(self._own)
        try:
            yield
        finally:
            self._own = _states()
            _set(before)


def _states() -> tuple[Any, Any, Any]:
    return global_state(), random.getstate(), np.random.get_state()  # noqa: NPY002


def _set(states: tuple[Any, Any, Any]) -> None:
    set_global_state(states[0])
    random.setstate(states[1])
    np.random.set_state(states[2])  # noqa: NPY002
