"""A row of the table: what is measured against what, and its goal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.measure import Figure, NotRun, Settings


@dataclass(frozen=True)
class Goal:
    """A bound on the figure."""

    bound: float
    at_least: bool = False
    unit: str = "×"

    def met(self, value: float) -> bool:
        """Return whether a value is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}{self.unit}"


@dataclass(frozen=True)
class Row:
    """One row; the module that defines it says how the two sides are made equal."""

    name: str
    what: str
    against: str
    goal: Goal
    measure: Callable[[Settings], Figure]
    """Raises `NotRun`."""


@dataclass(frozen=True)
class Outcome:
    """A row as it came out: a figure, or why there is none."""

    row: Row
    figure: Figure | None
    reason: str = ""
    failed: bool = False
    """It could be measured, and something went wrong: the two sides' results differ, say."""


def outcome(row: Row, settings: Settings) -> Outcome:
    """Measure a row; whatever fails fails this row alone."""
    try:
        return Outcome(row, row.measure(settings))
    except NotRun as reason:
        return Outcome(row, None, str(reason))
    except Exception as error:  # the other rows go on
        return Outcome(row, None, f"{type(error).__name__}: {error}", failed=True)
