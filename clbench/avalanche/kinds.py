"""Avalanche's classes, a user's and plug-ins as strategies of ours."""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any

from avalanche.training import supervised
from avalanche.training.templates.base_sgd import BaseSGDTemplate
from pydantic import ConfigDict

from clbench.avalanche import signature
from clbench.avalanche.recipe import Recipe
from clbench.avalanche.recipes import RECIPES
from clbench.avalanche.strategy import AvalancheStrategy
from clbench.errors import UsageError
from clbench.parameters import Parameters


def classes() -> dict[str, type]:
    """Return every strategy class of ``avalanche.training.supervised`` by name."""
    return {
        name: found
        for name, found in vars(supervised).items()
        if isinstance(found, type)
        and issubclass(found, BaseSGDTemplate)
        and found.__module__.startswith("avalanche.training.supervised")
    }


class _Whatever(Parameters):
    """Of a class that cannot run: it is skipped with its reason, whatever is set."""

    model_config = ConfigDict(extra="ignore")


@cache
def of_class(kind: type) -> type[AvalancheStrategy]:
    """Return our strategy that runs a class of Avalanche, or a user's subclass of one."""
    recipe = _recipe(kind)
    given = {"kind": kind, "recipe": recipe, "documentation": _documentation(kind, recipe)}
    runs = not recipe.reason
    given["Parameters"] = signature.parameters(kind, list(recipe.given)) if runs else _Whatever
    found = re.search(r"https?://\S*arxiv\.org/\S+[\w]", inspect.getdoc(kind) or "")
    return type(kind.__name__, (AvalancheStrategy,), given | {"paper": found[0] if found else ""})


def _recipe(kind: type) -> Recipe:
    """Return the recipe of the class or of the first of Avalanche's it is derived from."""
    theirs = [c for c in kind.__mro__ if c.__module__.startswith("avalanche.")]
    return RECIPES.get(theirs[0].__name__, Recipe()) if theirs else Recipe()


def of_object(name: str, found: Any) -> type[AvalancheStrategy]:
    """Return our strategy that runs what a user's file holds.

    Args:
        name: As typed, for messages.
        found: A subclass of ``SupervisedTemplate``, or plug-ins for ``Naive``: a list or a function that returns one.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(found, type) and issubclass(found, BaseSGDTemplate):
        return of_class(found)
    if isinstance(found, list) or (callable(found) and not isinstance(found, type)):
        base = of_class(supervised.Naive)
        told = f"Avalanche's Naive with the plug-ins of {name}."
        plugins = staticmethod(found) if callable(found) else found
        return type(base.__name__, (base,), {"plugins": plugins, "documentation": told})
    raise UsageError(
        f"{name!r} is neither a subclass of Avalanche's SupervisedTemplate nor a list of plug-ins,"
        " nor a function that returns such a list"
    )


def _documentation(kind: type, recipe: Recipe) -> str:
    lines = [f"{kind.__name__} of Avalanche 0.6, run by our evaluator."]
    first = (inspect.getdoc(kind) or "").split("\n\n")[0]
    if first and "LaMAML" not in first:
        lines.append(" ".join(first.split()))
    if recipe.reason:
        lines.append(f"It cannot run: it {recipe.reason}.")
    if recipe.quirks:
        lines.append("What changes a number:\n" + "\n".join(f"  * {q}" for q in recipe.quirks))
    return "\n\n".join(lines)
