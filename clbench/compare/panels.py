"""A table as panels of text: what every format for people prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import NamedTuple

from clbench.compare.comparability import REFERENCE, Row
from clbench.compare.scores import Cell, split_deviation
from clbench.compare.tables import Settings, Table
from clbench.errors import UsageError, unknown
from clbench.statistics import Estimate
from clbench.words import memory, over_episodes, passes, percent, spaced

NONE = "–"


class Text(NamedTuple):
    """What stands in a cell."""

    text: str
    marked: bool = False
    """Whether it is the best of its column, or level with it."""


@dataclass(frozen=True)
class Panel:
    """Rows and columns of text."""

    title: str
    """Empty for the results themselves."""
    columns: tuple[tuple[str, str], ...]
    """Scenario and what is shown of it."""
    rows: tuple[tuple[str, tuple[Text, ...]], ...]
    """Label and a text per column."""

    @property
    def spans(self) -> list[tuple[str, int]]:
        """Each scenario and how many columns it has, in order."""
        return [(name, len(list(own))) for name, own in groupby(s for s, _ in self.columns)]


def panels(table: Table, settings: Settings) -> list[Panel]:
    """Return results, differences to the baseline, variance and costs, as far as they are asked for."""
    gaps = {scenario for (_, scenario), cell in table.cells.items() if cell.gap}
    found = [_panel("", table, partial(_results, settings, gaps), table.rows)]
    rows = [row for row in table.rows if row is not table.baseline]
    if table.baseline is not None and rows:
        title = f"Difference to {table.baseline.label}, paired over the seeds"
        found.append(_panel(title, table, partial(_differences, settings), rows))
    if settings.variance:
        title = f"Standard deviation of {spaced(settings.metrics[0])}, in points"
        found.append(_panel(title, table, partial(_deviations, settings), table.rows))
    return [*found, _panel("Costs, means over the runs", table, _costs, table.rows)]


def excerpt(table: Table, settings: Settings, names: Sequence[str]) -> Panel:
    """Return the columns of these names, in this order, out of results and costs, as one panel.

    Raises:
        UsageError: There is no such column.
    """
    results, *_, costs = panels(table, settings)
    columns = [*results.columns, *costs.columns]
    for name in names:
        if name not in (known := {name for _, name in columns}):
            raise UsageError(unknown("column", name, known))
    places = [
        columns.index((scenario, name))
        for scenario in table.scenarios
        for name in names
        if (scenario, name) in columns
    ]
    rows = zip(results.rows, costs.rows, strict=True)
    merged = [(label, (*found, *spent)) for (label, found), (_, spent) in rows]
    body = tuple((label, tuple(texts[place] for place in places)) for label, texts in merged)
    return Panel("", tuple(columns[place] for place in places), body)


def _panel(
    title: str, table: Table, show: Callable[[str, Cell], dict[str, Text]], rows: Sequence[Row]
) -> Panel:
    shown = [(row.label, {s: show(s, table.cells[row.label, s]) for s in row.runs}) for row in rows]
    names = {s: list(texts) for _, by_scenario in shown for s, texts in by_scenario.items()}
    columns = tuple((s, name) for s in table.scenarios for name in names.get(s, []))
    body = tuple(
        (label, tuple(texts.get(s, {}).get(name, Text("")) for s, name in columns))
        for label, texts in shown
    )
    return Panel(title, columns, body)


def _results(settings: Settings, gaps: Set[str], scenario: str, cell: Cell) -> dict[str, Text]:
    total = cell.n + len(cell.others)
    texts = {"n": Text(f"{cell.n} of {total}" if cell.others else str(cell.n))}
    for metric, score in cell.scores.items():
        value = interval_text(score.estimate, settings)
        if metric == "average_accuracy" and len(cell.finished) == 1:
            value += over_episodes(cell.finished[0].record["metrics"] or {})
        nothing = cell.others[0].record["status"] if not cell.finished else value
        texts[spaced(metric)] = Text(nothing, score.best or score.level)
    if scenario in gaps:
        texts[f"gap to {REFERENCE}"] = Text(interval_text(cell.gap, settings))
    return texts


def interval_text(estimate: Estimate | None, settings: Settings, sign: str = "") -> str:
    """Return an estimate of fractions in %, with its interval."""
    if estimate is None:
        return NONE
    value = f"{100 * estimate.value:{sign}z.2f}"
    if estimate.low is None or estimate.high is None:
        return value
    if settings.interval == "t":
        return f"{value} ± {percent(estimate.high - estimate.value)}"
    return f"{value} [{percent(estimate.low)}, {percent(estimate.high)}]"


def _differences(settings: Settings, _: str, cell: Cell) -> dict[str, Text]:
    texts = {}
    for metric, score in cell.scores.items():
        difference = score.difference
        value = interval_text(difference.estimate if difference else None, settings, "+")
        p = "" if difference is None or difference.p is None else f" ({_p(difference.p)})"
        texts[spaced(metric)] = Text(value + p)
    return texts


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _deviations(settings: Settings, _: str, cell: Cell) -> dict[str, Text]:
    parts = split_deviation(cell.scores[settings.metrics[0]].values)
    order, rest = (percent(part) for part in parts) if parts else (NONE, NONE)
    return {"class order": Text(order), "all else": Text(rest)}


def _costs(_: str, cell: Cell) -> dict[str, Text]:
    specification = (cell.finished or cell.others)[0].specification
    examples = cell.costs["memory_examples"]
    texts = {
        "passes": Text(str(passes(specification) or NONE)),
        "memory": Text(NONE if examples is None else memory(specification, round(examples))),
    }
    for name in ("memory_bytes", "steps", "samples_seen", "seconds", "parameters"):
        digits = 1 if name == "seconds" else 0
        value = cell.costs[name]
        texts[spaced(name)] = Text(NONE if value is None else f"{value:,.{digits}f}")
    return texts
