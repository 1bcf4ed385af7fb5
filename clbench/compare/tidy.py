"""Tables for programs: one record per strategy, scenario and metric, as CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from clbench.compare.captions import footer, heading, protocols
from clbench.compare.comparability import REFERENCE
from clbench.compare.scores import Score
from clbench.compare.tables import Settings, Table
from clbench.results import finite
from clbench.statistics import Estimate

FIELDS = (
    "scenario",
    "strategy",
    "metric",
    "n",
    "not_finished",
    "mean",
    "low",
    "high",
    "best",
    "level",
    "baseline",
    "difference",
    "difference_low",
    "difference_high",
    "difference_n",
    "p",
    "test",
    "outlier_seeds",
)
"""Of a record. Metrics are fractions; with ``--interval iqm``, ``mean`` is the interquartile mean."""


def to_csv(tables: Sequence[Table]) -> str:
    """Return CSV with the table, its setting and `FIELDS` as columns; empty is not defined."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ("table", "setting", *FIELDS), lineterminator="\n")
    writer.writeheader()
    for position, table in enumerate(tables, 1):
        for record in records(table):
            seeds = " ".join(map(str, record["outlier_seeds"] or ()))
            place = {"table": position, "setting": table.title}
            writer.writerow({**place, **record, "outlier_seeds": seeds})
    return text.getvalue()


def to_json(tables: Sequence[Table], settings: Settings) -> str:
    """Return one JSON document with the same records by table; null is not defined."""
    document = {
        "interval": settings.interval,
        "baseline": settings.baseline,
        "notes": [*heading(tables), *footer(tables, settings, "best, level")],
        "tables": [
            {
                "setting": table.title,
                "facets": table.facets,
                "scenarios": protocols(table),
                "notes": table.notes,
                "records": list(records(table)),
            }
            for table in tables
        ],
    }
    return json.dumps(finite(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def records(table: Table) -> Iterator[dict[str, Any]]:
    """Yield a record per row, scenario and metric; the gap to the reference and each cost count as metrics."""
    baseline = table.baseline.label if table.baseline else None
    for row in table.rows:
        for scenario in row.runs:
            cell = table.cells[row.label, scenario]
            place = {"scenario": scenario, "strategy": row.label}
            counts = {"n": cell.n, "not_finished": len(cell.others)}
            found = {metric: _score(score, baseline) for metric, score in cell.scores.items()}
            if cell.gap:
                found[f"gap_to_{REFERENCE}"] = _estimate(cell.gap)
            found |= {cost: {"mean": value} for cost, value in cell.costs.items()}
            for metric, numbers in found.items():
                yield {**dict.fromkeys(FIELDS), **place, "metric": metric, **counts, **numbers}


def _estimate(estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {"mean": None, "low": None, "high": None}
    return {"mean": estimate.value, "low": estimate.low, "high": estimate.high}


def _score(score: Score, baseline: str | None) -> dict[str, Any]:
    found = {**_estimate(score.estimate), "best": score.best, "level": score.level}
    found |= {"baseline": baseline, "outlier_seeds": list(score.outliers)}
    difference = score.difference
    if difference is not None:
        estimate = difference.estimate
        found |= {
            "difference": estimate.value,
            "difference_low": estimate.low,
            "difference_high": estimate.high,
            "difference_n": estimate.n,
            "p": difference.p,
            "test": difference.test,
        }
    return found
