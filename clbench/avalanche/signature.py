"""Hyper-parameters from the signature of an Avalanche strategy's constructor."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin

from pydantic import Field, create_model

from clbench.errors import UsageError
from clbench.gradient import GradientParameters
from clbench.parameters import Parameters, PositiveInt

SHARED = ("network", "hidden", "optimizer", "lr", "batch_size", "epochs")
"""Hyper-parameters of every gradient strategy that these have, too, with the same defaults."""
MEMORY = ("mem_size", "memory_size", "patterns_per_exp")
"""What constructors call `memory_size`; the last is of one experience."""
OURS = {
    *("self", "model", "optimizer", "criterion", "device", "plugins", "evaluator"),
    *("train_mb_size", "eval_mb_size", "train_epochs", "eval_every", "peval_mode"),
}
"""Arguments that the adapter gives."""
_PLAIN = (bool, int, float, str)


def arguments(kind: type) -> Mapping[str, inspect.Parameter]:
    """Return the named arguments of a class's constructor.

    A user's constructor may hand its ``**kwargs`` on, so those of its bases count, up to Avalanche's own.
    """
    named: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        found = inspect.signature(base.__init__).parameters  # type: ignore[misc]
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        named = {name: p for name, p in found.items() if p.kind in kinds} | named
        hands_on = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in found.values())
        if base.__module__.startswith("avalanche.") or not hands_on:
            break
    return named


def parameters(kind: type, given: Sequence[str] = ()) -> type[Parameters]:
    """Return the hyper-parameters of a strategy: the shared ones and those of its constructor.

    Args:
        kind: A subclass of Avalanche's ``SupervisedTemplate``.
        given: Arguments that the adapter gives, beside `OURS`.

    Raises:
        UsageError: An argument without a default is of a type that no TOML value has.
    """
    shared = GradientParameters.model_fields
    fields: dict[str, Any] = {name: (shared[name].annotation, shared[name]) for name in SHARED}
    for name, argument in arguments(kind).items():
        if name in MEMORY:
            text = "exemplars kept, of all classes together"
            fields["memory_size"] = (PositiveInt, Field(200, description=text))
        elif name not in {*OURS, *SHARED, *given}:
            fields |= _field(kind, name, argument)
    model: type[Parameters] = create_model(
        f"{kind.__name__}Parameters", __base__=Parameters, **fields
    )
    return model


def _field(kind: type, name: str, argument: inspect.Parameter) -> dict[str, Any]:
    annotation = _plain(argument)
    if annotation is not None:
        default = ... if argument.default is argument.empty else argument.default
        return {name: (annotation, Field(default, description=_meaning(kind, name)))}
    if argument.default is argument.empty:
        raise UsageError(
            f"{kind.__name__} cannot be made: its argument {name!r} has no default and a type that"
            " no hyper-parameter has; numbers, strings, true or false, and lists of them are"
            " allowed. Subclass it and give the argument there"
        )
    return {}


def _plain(argument: inspect.Parameter) -> Any:
    """Return the type of an argument as pydantic is told; None if it is not plain."""
    default = argument.default
    if argument.annotation is argument.empty or isinstance(argument.annotation, str):
        return type(default) if type(default) in _PLAIN else None
    if argument.annotation is int and isinstance(default, float):  # a slip in a signature
        return float
    return _known(argument.annotation)


def _known(annotation: Any) -> Any:
    """Return an annotation made of plain types, unions and sequences; None for others."""
    if annotation in _PLAIN or annotation is type(None):
        return annotation
    origin, inner = get_origin(annotation), [_known(a) for a in get_args(annotation)]
    if not inner or None in inner:
        return None
    if origin in (Union, types.UnionType):
        return Union[tuple(inner)]  # noqa: UP007 (made of a list)
    if isinstance(origin, type) and issubclass(origin, Sequence) and len(inner) == 1:
        return list[inner[0]]  # type: ignore[valid-type]
    return None


def _meaning(kind: type, name: str) -> str:
    """Return what the constructor's documentation says of an argument."""
    documented = inspect.getdoc(kind.__init__) or inspect.getdoc(kind) or ""  # type: ignore[misc]
    _, found, after = documented.partition(f":param {name}:")
    text = after.split(":param")[0].split("\n\n")[0]
    return " ".join(text.split()).rstrip(".") if found else "see Avalanche's documentation"
