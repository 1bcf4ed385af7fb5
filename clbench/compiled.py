"""Methods of a strategy's network that torch compiles (`clbench run --compile`).

It pays where a step calls a method of many small operations again and again, as the time step of a recurrent network,
and where a run is long: compiling takes a minute or more, after which torch's cache has it on this machine.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import torch

from clbench.gradient import GradientStrategy
from clbench.strategy import Strategy

Backend = str | Callable[..., Any]


def uncompiled_because(kind: type[Strategy]) -> str | None:
    """Return why nothing of strategies of this class is compiled; None if something is."""
    if getattr(kind, "compiled", None):
        return None
    return "it names no method of its network that is worth compiling"


def compiler_missing() -> str | None:
    """Return the name of the C++ compiler that torch would call on this machine, if it is not there."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    name = os.environ.get("CXX") or usual
    return None if shutil.which(name) else name


def compile_network(strategy: Strategy, backend: Backend = "inductor") -> None:
    """Let torch compile what the strategy names of its network, once that is called.

    Args:
        strategy: Set up.
        backend: Of torch.compile.
    """
    if uncompiled_because(type(strategy)) is None and isinstance(strategy, GradientStrategy):
        # torch gives a method up after eight shapes, those of earlier runs of this process among them.
        torch.compiler.reset()
        for name in sorted(strategy.compiled):
            method = getattr(strategy.network, name)
            setattr(strategy.network, name, InTraining(method, backend))


class InTraining:
    """Stands in for a method: compiled where gradients are wanted, as it is elsewhere.

    Answers come in batches of all sizes, each of which torch would compile anew.
    """

    def __init__(self, method: Callable[..., Any], backend: Backend) -> None:
        self._plain, self._compiled = method, torch.compile(method, backend=backend)

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        return (self._compiled if torch.is_grad_enabled() else self._plain)(*arguments)
