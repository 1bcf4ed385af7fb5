"""What a reader must know of the numbers of a table, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from clbench.compare.comparability import Row
from clbench.compare.scores import Cell
from clbench.words import percent, ranges, spaced

Cells = Mapping[tuple[str, str], Cell]


def remarks(rows: Sequence[Row], cells: Cells) -> Iterator[str]:
    """Yield failed and skipped runs, undefined metrics, outliers, orders, crossed or unlike seeds, unlike machines."""
    for row in rows:
        for scenario in row.runs:
            found, place = cells[row.label, scenario], f"{row.label} on {scenario}"
            for run in found.others:
                seed = run.specification["seed"]
                yield f"{place}, seed {seed}: {run.record['status']}: {run.reason}"
            if found.n < len(found.finished):
                yield f"{place}: {len(found.finished)} runs with crossed seeds count as n = {found.n}."
            yield from _undefined(place, found)
            yield from _odd(place, found)
            yield from _orders(place, found)
    yield from _unmatched(rows, cells)
    yield from _machines(cells)


def _undefined(place: str, found: Cell) -> Iterator[str]:
    for metric, score in found.scores.items():
        missing = sum(run.metric(metric) is None for run in found.finished)
        if score.estimate is None and 0 < missing < len(found.finished):
            yield (
                f"{place}: {spaced(metric)} is undefined in {missing} of {len(found.finished)} runs,"
                " so no mean is given."
            )


def _odd(place: str, found: Cell) -> Iterator[str]:
    for metric, score in found.scores.items():
        told = [f"seed {seed} ({percent(score.units[seed])})" for seed in score.outliers]
        if told:
            yield f"{place}: outlier in {spaced(metric)}: {', '.join(told)}; kept in the mean."


def _orders(place: str, found: Cell) -> Iterator[str]:
    """Yield how much depends on the order in which a memory is shown, where that was measured."""
    orders = max((run.metric("orders") or 0 for run in found.finished), default=0)
    spread = [sd for run in found.finished if (sd := run.metric("order_sd")) is not None]
    if spread:
        yield (
            f"{place}: average accuracy differs with the order in which exemplars are shown: sd"
            f" {percent(fmean(spread))} over {orders:.0f} orders, mean of"
            f" {len(spread)} runs (at most {percent(max(spread))})."
        )


def _unmatched(rows: Sequence[Row], cells: Cells) -> Iterator[str]:
    """Yield the seeds of each row of a scenario where they are not the same."""
    for scenario in dict.fromkeys(scenario for _, scenario in cells):
        seeds = {
            row.label: frozenset(run.seeds for run in cells[row.label, scenario].finished)
            for row in rows
        }
        told = {label: own for label, own in seeds.items() if own}
        if len(set(told.values())) > 1:
            listed = "; ".join(
                f"{label} {ranges({run.specification['seed'] for run in cells[label, scenario].finished})}"
                for label in told
            )
            yield (
                f"{scenario}: the rows have different seeds ({listed}); differences and tests use"
                " those that two rows share."
            )


def _machines(cells: Cells) -> Iterator[str]:
    keys = ("host", "device", "device_name", "threads")
    machines = {
        tuple(str((run.record.get("provenance") or {}).get(key)) for key in keys)
        for found in cells.values()
        for run in found.finished
    }
    if len(machines) > 1:
        yield f"Seconds were measured on {len(machines)} different machines, devices or thread counts."
