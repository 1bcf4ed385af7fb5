"""Counts that a strategy tells of itself, looked at before they are used: whole numbers from 0 on."""

from __future__ import annotations

import reprlib
from typing import Any

from clbench.blame import defined_at
from clbench.errors import ClbenchError
from clbench.strategy import Strategy


def natural(value: Any, what: str, place: Any) -> int:
    """Return a count as it is.

    Args:
        value: What a strategy says.
        what: Its name, for the message.
        place: The class or method it comes from.

    Raises:
        ClbenchError: It is no whole number from 0 on.
    """
    if type(value) is not int or value < 0:
        raise ClbenchError(
            f"{what} must be an int from 0 on, not {reprlib.repr(value)}{defined_at(place)}"
        )
    return value


def steps_of(strategy: Strategy) -> int:
    """Return the steps a strategy has taken.

    Raises:
        ClbenchError: They are no whole number from 0 on.
    """
    return natural(strategy.effort.steps, "effort.steps", type(strategy))
