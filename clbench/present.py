"""The table a run prints: per dataset and scenario a row per strategy, the matrices, the protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from clbench.grid import Cell
from clbench.metrics import METRICS
from clbench.results import Record
from clbench.statistics import mean_interval

SHOWN = ("average_accuracy", "forgetting", "learning_accuracy")


def tables(cells: Sequence[Cell]) -> str:
    """Return everything a run prints to stdout, as plain text."""
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        spec = cell.specification
        protocol = _protocol(spec)
        key = (spec["dataset"]["name"], spec["scenario"]["name"], protocol)
        groups.setdefault(key, []).append(cell)
    return "\n\n".join("\n".join(_group(*key, members)) for key, members in groups.items())


def _group(dataset: str, scenario: str, protocol: str, cells: list[Cell]) -> Iterator[str]:
    yield f"{scenario} on {dataset}"
    yield protocol
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.path.name.partition("-s")[0], []).append(cell)
    finished = [ok for group in rows.values() if (ok := [c for c in group if _finished(c)])]
    yield ""
    if finished:
        yield pd.DataFrame([_row(group) for group in finished]).to_string(index=False)
        several = any(len(group) > 1 for group in finished)
        yield "Metrics in %" + (", ± half a 95 % t interval over n seeds." if several else ".")
        yield "passes: epochs over an experience (– if not by epochs); memory: exemplars and policy."
        for name in SHOWN:
            yield f"{name}: {METRICS[name].definition} ({METRICS[name].paper})."
    for group in finished:
        yield from ("", *_matrix(group))
    for cell in cells:
        if cell.status in ("skipped", "failed"):
            spec = cell.specification
            yield f"{cell.status}: {spec['strategy']['name']}, seed {spec['seed']}: {cell.reason}"


def _finished(cell: Cell) -> bool:
    return cell.record is not None and cell.record["status"] == "ok"


def _row(cells: list[Cell]) -> dict[str, str]:
    records = [cell.record for cell in cells if cell.record]
    spec, budgets = records[0]["specification"], [record["budget"] for record in records]
    parameters = spec["strategy"]["hyper_parameters"]
    row = {"strategy": spec["strategy"]["name"], "n": str(len(records))}
    for metric in SHOWN:
        row[metric.replace("_", " ")] = _percent([r["metrics"][metric] for r in records])
    online = spec["scenario"]["options"]["online"]
    row["passes"] = "1" if online else str(parameters.get("epochs", "–"))
    row["memory"] = str(budgets[0]["memory_examples"])
    if "memory_policy" in parameters:
        row["memory"] += f" {parameters['memory_policy']}"
    row["memory bytes"] = f"{budgets[0]['memory_bytes']:,}"
    for count in ("steps", "samples_seen"):
        mean = sum(budget[count] for budget in budgets) / len(budgets)
        row[count.replace("_", " ")] = f"{mean:,.0f}"
    seconds = [b["train_seconds"] + b["eval_seconds"] for b in budgets]
    row["seconds"] = f"{sum(seconds) / len(seconds):.1f}"
    if spec["protocol"]["transductive"]:
        row["strategy"] += " (transductive)"
    return row


def _percent(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return "–"
    mean, half = mean_interval(known)
    return f"{100 * mean:.2f}" + (f" ± {100 * half:.2f}" if half is not None else "")


def _matrix(cells: list[Cell]) -> Iterator[str]:
    records: list[Record] = [cell.record for cell in cells if cell.record]
    spec = records[0]["specification"]
    seeds = f"seed {spec['seed']}" if len(records) == 1 else f"mean of {len(records)} seeds"
    yield f"Accuracy matrix of {spec['strategy']['name']} ({seeds}), in %: test accuracy on each task"
    matrices = [record["matrix"] for record in records]
    tasks = len(matrices[0][0])
    names = ["before", *(f"after {i}" for i in range(1, tasks + 1))]
    body = [
        [_percent_mean([m[i][j] for m in matrices]) for j in range(tasks)] for i in range(tasks + 1)
    ]
    columns = [f"task {j}" for j in range(1, tasks + 1)]
    yield pd.DataFrame(body, index=names, columns=columns).to_string()


def _percent_mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * sum(known) / len(known):.1f}" if len(known) == len(values) else "–"


def _protocol(spec: dict[str, Any]) -> str:
    """Return the protocol in one line."""
    options, protocol = spec["scenario"]["options"], spec["protocol"]
    order = options["class_order"]
    parts = [
        f"{protocol['head']} head",
        f"training mask {protocol['train_mask']}, test mask {protocol['test_mask']}",
        "task id given" if protocol["tells_task"] else "no task id at test",
        f"online, batch {options['batch_size']}" if options["online"] else "offline",
        "boundaries announced" if options["boundaries"] else "boundaries hidden",
        f"class order {order if isinstance(order, str) else 'given'}",
        f"evaluated on {protocol['evaluated_on']} data",
    ]
    if "shift" in options:
        parts.insert(0, f"shift {options['shift']}")
    return "Protocol: " + "; ".join(parts) + "."
