"""What a strategy's class must be like, looked at before anything runs."""

from __future__ import annotations

import inspect
from typing import Any

from clbench.blame import defined_at
from clbench.errors import UsageError
from clbench.experience import StreamInfo
from clbench.gradient import GradientStrategy
from clbench.parameters import Parameters
from clbench.registry import Resolved, check_class, check_parameters
from clbench.strategy import Strategy

_READ = (
    (("network", "hidden"), ("setup", "restart", "build")),
    (("lr",), ("setup", "restart", "make_optimizer")),
    (("epochs", "batch_size"), ("learn", "lessons", "training", "schedule")),
)
"""Hyper-parameters, and the methods of `GradientStrategy` that together read them if none is a strategy's own."""

_COMPUTING = ("learn", "step", "predict", "answer")
"""Methods of `GradientStrategy` that heed ``info.precision``."""


def check_strategy(found: Resolved) -> type[Strategy]:
    """Return the class a name stands for.

    Raises:
        UsageError: It is no strategy, or cannot work; says why, and where a plug-in's is defined.
    """
    check_class(found, "strategy", (Strategy,))
    check_parameters(found, "strategy", "Parameters", Parameters)
    check_made_of(found, "strategy", "parameters")
    kind: type[Strategy] = found.target
    lacking = _lacking(kind)
    if lacking:
        raise UsageError(
            f"strategy {found.name!r}: Parameters of a GradientStrategy must subclass"
            f" clbench.GradientParameters; these lack {', '.join(lacking)}{defined_at(kind)}"
        )
    if kind.meta_trained and kind.answer is Strategy.answer:
        raise UsageError(
            f"strategy {found.name!r} is meta-trained but does not define answer{defined_at(kind)}"
        )
    return kind


def check_made_of(found: Resolved, what: str, *arguments: str) -> None:
    """Refuse a class that cannot be called with so many arguments.

    Raises:
        UsageError: Says what it must take.
    """
    try:
        inspect.signature(found.target).bind(*arguments)
    except TypeError:
        wanted = ", ".join(["self", *arguments])
        place = defined_at(found.target.__init__)
        raise UsageError(f"{what} {found.name!r}: __init__ must take ({wanted}){place}") from None


def make(kind: type[Strategy], parameters: Parameters) -> Strategy:
    """Return a strategy that is not set up yet.

    Raises:
        UsageError: Its ``__init__`` leaves out what `Strategy` keeps.
    """
    strategy = kind(parameters)
    if not hasattr(strategy, "effort"):
        place = defined_at(kind.__init__)
        raise UsageError(f"__init__ must call super().__init__(parameters){place}")
    return strategy


def reason_against(strategy: Strategy, info: StreamInfo) -> str | None:
    """Return why a strategy does not take part in such a stream, in its precision; None if it does.

    Raises:
        UsageError: Its `skip_reason` returned neither.
    """
    reason: Any = strategy.skip_reason(info)
    if reason is None and info.precision != "float32" and not _computes_as_told(type(strategy)):
        return (
            f"computes in float32 only; precision {info.precision} is for a GradientStrategy that"
            f" leaves {', '.join(_COMPUTING)} as they are"
        )
    if reason is None or isinstance(reason, str):
        return reason
    raise UsageError(
        f"skip_reason must return a str that says why, or None, not {reason!r}"
        f"{defined_at(strategy.skip_reason)}"
    )


def _computes_as_told(kind: type[Strategy]) -> bool:
    """Return whether whatever computes in a precision of choice is the framework's."""
    return issubclass(kind, GradientStrategy) and all(
        getattr(kind, name) is getattr(GradientStrategy, name) for name in _COMPUTING
    )


def _lacking(kind: type[Strategy]) -> list[str]:
    """Return the hyper-parameters that the framework's part of a strategy reads and its class lacks."""
    if not issubclass(kind, GradientStrategy):
        return []
    known = kind.Parameters.model_fields
    return [
        name
        for names, methods in _READ
        if all(getattr(kind, method) is getattr(GradientStrategy, method) for method in methods)
        for name in names
        if name not in known
    ]
