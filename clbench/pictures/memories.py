"""Accuracy against the size of the memory: the one picture that joins tables, since memory sets them apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from clbench.compare.comparability import REFERENCE, exemplars, variant
from clbench.compare.tables import Table
from clbench.pictures.charts import ACCURACY, Y_NAME, Chart, Panel, Point, Series, exactly, percent
from clbench.specification import canonical
from clbench.statistics import Estimate
from clbench.words import differing


@dataclass(frozen=True)
class _Variant:
    """What one variant of a strategy reached, and with how many exemplars."""

    label: str
    strategy: str
    settings: dict[str, Any]
    """But the memory's size."""
    size: int
    """0 for one without a memory and for the reference."""
    accuracy: Estimate


def memory(tables: Sequence[Table]) -> list[Panel]:
    """Return average accuracy against memory, a line per strategy; who has no memory is a level line."""
    joined = _joined(tables)
    scenarios = [(title, own, name) for title, own in joined.items() for name in _scenarios(own)]
    found: list[Panel] = []
    for title, own, scenario in scenarios:
        parts = [title] if len(joined) > 1 else []
        parts += [scenario] if len(_scenarios(own)) > 1 else []
        found.append(_chart(": ".join(parts), own, scenario))
    return found


def _joined(tables: Sequence[Table]) -> dict[str, list[Table]]:
    """Return the tables by what they have in common but the memory."""
    found: dict[str, list[Table]] = {}
    for table in tables:
        words = [text for name, text in table.facets.items() if name != "memory" and text]
        found.setdefault(", ".join(words), []).append(table)
    return found


def _scenarios(tables: Sequence[Table]) -> list[str]:
    return sorted({scenario for table in tables for scenario in table.scenarios})


def _chart(title: str, tables: Sequence[Table], scenario: str) -> Chart:
    series: list[Series] = []
    notes: list[str] = []
    by_strategy: dict[str, list[_Variant]] = {}
    for one in _variants(tables, scenario):
        by_strategy.setdefault(one.strategy, []).append(one)
    for strategy, own in by_strategy.items():
        level = [v for v in own if not v.size]
        series += [
            Series(v.label, (Point(exactly(0), v.accuracy),), everywhere=True) for v in level
        ]
        kept = sorted((v for v in own if v.size), key=lambda v: v.size)
        if len({v.size for v in kept}) == len(kept):
            series += [_line(strategy, kept)] if kept else []
            notes += _unlike(strategy, kept)
        else:
            series += _lines(strategy, kept)
    names = "memory (exemplars)", Y_NAME
    return Chart(title, *names, tuple(series), scale="log", notes=tuple(notes))


def _variants(tables: Sequence[Table], scenario: str) -> Iterator[_Variant]:
    """Yield each variant once, though it may stand in several tables."""
    seen: set[int] = set()
    for table in tables:
        for row in table.rows:
            runs = row.runs.get(scenario, ())
            accuracy = table.cells[row.label, scenario].scores[ACCURACY].estimate if runs else None
            if accuracy is None or id(runs[0]) in seen:
                continue
            seen.add(id(runs[0]))
            settings = variant(runs[0])
            settings.pop("memory_size", None)
            size = 0 if row.strategy == REFERENCE else exemplars(runs)
            yield _Variant(row.label, row.strategy, settings, size, percent(accuracy))


def _line(label: str, variants: Sequence[_Variant]) -> Series:
    return Series(label, tuple(Point(exactly(v.size), v.accuracy) for v in variants))


def _lines(strategy: str, variants: Sequence[_Variant]) -> list[Series]:
    """Return a line per setting, where a size was run with several."""
    by_setting: dict[str, list[_Variant]] = {}
    for one in variants:
        by_setting.setdefault(canonical(one.settings), []).append(one)
    words = differing([own[0].settings for own in by_setting.values()])
    return [
        _line(f"{strategy} {told}", own)
        for own, told in zip(by_setting.values(), words, strict=True)
    ]


def _unlike(strategy: str, variants: Sequence[_Variant]) -> list[str]:
    """Return a note of what differs along a line besides the memory's size."""
    if len({canonical(one.settings) for one in variants}) < 2:
        return []
    words = differing([one.settings for one in variants])
    told = [f"{one.size:,}: {said}" for one, said in zip(variants, words, strict=True)]
    return [f"{strategy} has other settings at some sizes: {'; '.join(told)}."]
