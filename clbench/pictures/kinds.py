"""The kinds of pictures by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clbench.compare.tables import Settings, Table
from clbench.errors import UsageError
from clbench.pictures.charts import ACCURACY, Panel, cost, matrix, stream, tasks, trade_off
from clbench.pictures.curves import learning
from clbench.pictures.memories import memory
from clbench.pictures.transfers import transfer

AGAINST = {"trade-off": ("forgetting", "learning_accuracy"), "cost": ("steps", "seconds")}
"""What average accuracy may be drawn against, the default first, by kind."""
METRICS = (ACCURACY, *AGAINST["trade-off"])
"""What the tables of a picture must hold."""


Kind = Callable[[Sequence[Table], Settings, str], list[Panel]]
"""From tables, their settings and what accuracy is drawn against to panels."""

KINDS: dict[str, Kind] = {
    "matrix": lambda tables, settings, _: matrix(tables, settings),
    "stream": lambda tables, settings, _: stream(tables, settings),
    "tasks": lambda tables, settings, _: tasks(tables, settings),
    "trade-off": lambda tables, _, against: trade_off(tables, against),
    "memory": lambda tables, *_: memory(tables),
    "learning": lambda tables, settings, _: learning(tables, settings),
    "transfer": lambda tables, settings, _: transfer(tables, settings),
    "cost": lambda tables, _, against: cost(tables, against),
}


def panels(
    kind: str, tables: Sequence[Table], settings: Settings, against: str | None = None
) -> list[Panel]:
    """Return the panels of a picture.

    Args:
        kind: One of `KINDS`.
        tables: Made with `METRICS`.
        settings: Those of the tables.
        against: One of `AGAINST`; None is the kind's default.

    Raises:
        UsageError: The kind has no such choice.
    """
    allowed = AGAINST.get(kind, ())
    if against is not None and against not in allowed:
        listed = f"takes {' or '.join(allowed)}" if allowed else "is for trade-off and cost"
        raise UsageError(f"--against {listed}, not {against!r} with {kind}")
    return KINDS[kind](tables, settings, against or next(iter(allowed), ""))
