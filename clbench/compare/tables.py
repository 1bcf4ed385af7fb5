"""Tables of comparable rows: paired differences, the gap to the reference, what is best, what must be said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

from clbench.compare.collection import CATALOGUE, Run
from clbench.compare.comparability import REFERENCE, Facets, Group, Row
from clbench.compare.remarks import remarks
from clbench.compare.scores import (
    DEFAULT_METRICS,
    Cell,
    Difference,
    Score,
    cell,
    defined,
    higher_is_better,
    paired,
)
from clbench.errors import UsageError, unknown
from clbench.statistics import LEVEL, Interval, estimate, holm, paired_test

GAP_METRIC = "average_accuracy"


@dataclass(frozen=True)
class Settings:
    """What a comparison shows and how."""

    metrics: tuple[str, ...] = DEFAULT_METRICS
    """Complete, as from `with_companions`."""
    baseline: str | None = None
    """A strategy or a row's label."""
    interval: Interval = "t"
    variance: bool = False
    """Whether to split the variance due to the class order from the rest."""


@dataclass
class Table:
    """A group of comparable runs and its numbers."""

    title: str
    facets: Facets
    scenarios: dict[str, Run]
    """A run of each, whose protocol is the column's."""
    rows: tuple[Row, ...]
    """The best of the first metric on the first scenario first."""
    cells: dict[tuple[str, str], Cell]
    """By label and scenario."""
    baseline: Row | None = None
    notes: list[str] = field(default_factory=list)

    def column(self, scenario: str, metric: str) -> dict[str, Score]:
        """Return the scores of a metric on a scenario, by label, of the rows that have one."""
        scores = {row.label: self.cells[row.label, scenario].scores[metric] for row in self.rows}
        return {label: score for label, score in scores.items() if score.estimate is not None}


def with_companions(metrics: Iterable[str]) -> tuple[str, ...]:
    """Return the metrics, and learning accuracy if forgetting is among them: alone it says little."""
    chosen = list(metrics)
    if any(name.startswith("forgetting") for name in chosen):
        chosen.append("learning_accuracy")
    return tuple(dict.fromkeys(chosen))


def compare(groups: Sequence[Group], settings: Settings) -> list[Table]:
    """Return a table for each group.

    Raises:
        UsageError: A metric or the baseline is unknown.
    """
    rows = [row for group in groups for row in group.rows]
    stored = {
        name
        for row in rows
        for runs in row.runs.values()
        for run in runs
        for name in run.record.get("metrics") or {}
    }
    for metric in settings.metrics:
        if metric not in (known := stored | set(CATALOGUE)):
            raise UsageError(unknown("metric", metric, known))
    names = {name for row in rows for name in (row.label, row.strategy)}
    if settings.baseline is not None and settings.baseline not in names:
        raise UsageError(unknown("baseline", settings.baseline, names))
    return [_table(group, settings) for group in groups]


def _table(group: Group, settings: Settings) -> Table:
    cells = {
        (row.label, scenario): cell(row.runs.get(scenario, ()), settings.metrics, settings.interval)
        for row, scenario in product(group.rows, group.scenarios)
    }
    examples = {
        scenario: next(row.runs[scenario][0] for row in group.rows if scenario in row.runs)
        for scenario in group.scenarios
    }
    first, place = settings.metrics[0], group.scenarios[0]
    rows = sorted(group.rows, key=lambda row: _rank(cells[row.label, place].scores[first], first))
    table = Table(group.title, group.facets, examples, tuple(rows), cells)
    table.baseline = _baseline(table, settings.baseline)
    for scenario in group.scenarios:
        _add_gaps(table, scenario, settings.interval)
        if table.baseline and not cells[table.baseline.label, scenario].finished:
            table.notes.append(f"The baseline {table.baseline.label} has no result on {scenario}.")
        for metric in settings.metrics:
            if metric == first or higher_is_better(metric):  # who learns nothing forgets least
                _mark_best(table, scenario, metric)
            _add_differences(table, scenario, metric, settings.interval)
    table.notes += [*group.notes, *remarks(table.rows, table.cells)]
    return table


def _rank(score: Score, metric: str) -> float:
    """Return what sorts the best first and what has no value last."""
    if score.estimate is None:
        return float("inf")
    return -score.estimate.value if higher_is_better(metric) else score.estimate.value


def _baseline(table: Table, name: str | None) -> Row | None:
    """Return the baseline's row; where there is none, a note says why."""
    exact = [row for row in table.rows if row.label == name]
    rows = exact or [row for row in table.rows if row.strategy == name]
    if name is None or len(rows) == 1:
        return rows[0] if rows else None
    labels = ", ".join(repr(row.label) for row in rows)
    table.notes.append(
        f"{name} stands in several rows, so nothing is compared with it here; choose one: {labels}."
        if rows
        else f"The baseline {name} has no row in this table."
    )
    return None


def _add_gaps(table: Table, scenario: str, interval: Interval) -> None:
    """Fill in the gap to the reference (to the best of its variants)."""
    accuracies = {
        row.label: defined(table.cells[row.label, scenario].finished, GAP_METRIC)
        for row in table.rows
    }
    references = [accuracies[row.label] for row in table.rows if row.strategy == REFERENCE]
    best = max(filter(None, references), key=lambda v: sum(v.values()) / len(v), default=None)
    for row in table.rows:
        if best and row.strategy != REFERENCE:
            gaps = paired(best, accuracies[row.label])
            table.cells[row.label, scenario].gap = estimate(gaps, interval) if gaps else None


def _mark_best(table: Table, scenario: str, metric: str) -> None:
    """Mark the best row and those that a paired test does not tell from it; nothing from one seed."""
    references = {row.label for row in table.rows if row.strategy == REFERENCE}
    column = [s for label, s in table.column(scenario, metric).items() if label not in references]
    best = min(column, key=lambda score: _rank(score, metric), default=None)
    if best is None or len(column) < 2 or len(best.units) < 2:
        return
    best.best = True
    others = [score for score in column if score is not best]
    tests = _tests([paired(score.values, best.values) for score in others])
    for score, (p, _) in zip(others, tests, strict=True):
        score.level = p is not None and p > LEVEL


def _add_differences(table: Table, scenario: str, metric: str, interval: Interval) -> None:
    """Fill in the differences to the baseline, their p-values adjusted for the rows of the column."""
    column = table.column(scenario, metric)
    if table.baseline is None or table.baseline.label not in column:
        return
    baseline = column.pop(table.baseline.label)
    differences = {label: paired(s.values, baseline.values) for label, s in column.items()}
    tests = _tests(list(differences.values()))
    for (label, values), (p, test) in zip(differences.items(), tests, strict=True):
        if values:
            column[label].difference = Difference(estimate(values, interval), p, test)


def _tests(columns: Sequence[Sequence[float]]) -> list[tuple[float | None, str | None]]:
    """Return the p-value of each row's differences, adjusted for their number, and the test's name."""
    tested = sum(len(differences) > 1 for differences in columns)
    tests = [paired_test(differences, tested) for differences in columns]
    adjusted = holm([test.p if test else None for test in tests])
    return [(p, test.test if test else None) for p, test in zip(adjusted, tests, strict=True)]
