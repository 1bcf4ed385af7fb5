"""What a run prints: per dataset and scenario the protocol, metrics and costs per strategy, the matrices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from clbench.compare.panels import NONE, Panel, Text
from clbench.compare.text import grid, wrapped
from clbench.grid import Cell
from clbench.metrics import METRICS
from clbench.results import BUDGET, Record
from clbench.specification import Specification
from clbench.statistics import mean_interval
from clbench.words import (
    OVER_EPISODES,
    definition,
    differing,
    memory,
    over_episodes,
    passes,
    percent,
    protocol_line,
    spaced,
)

IN_SEQUENCE = "Accuracy in % on the first, second … presentation of a class"
SHOWN = ("average_accuracy", "forgetting", "learning_accuracy")


def tables(cells: Sequence[Cell], width: int = 100) -> str:
    """Return everything a run prints to stdout, as plain text; what is wider than ``width`` is broken."""
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        spec = cell.specification
        protocol = protocol_line(spec)
        key = (spec["dataset"]["name"], spec["scenario"]["name"], protocol)
        groups.setdefault(key, []).append(cell)
    blocks = [block for key, members in groups.items() for block in _group(*key, members, width)]
    return "\n\n".join(blocks)


def _group(
    dataset: str, scenario: str, protocol: str, cells: list[Cell], width: int
) -> Iterator[str]:
    yield "\n".join([wrapped([f"{scenario} on {dataset}"], width), wrapped([protocol], width)])
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.path.name.partition("-s")[0], []).append(cell)
    finished = [ok for group in rows.values() if (ok := _records(group))]
    labels = _labels([records[0]["specification"] for records in finished])
    if finished:
        yield grid(_panel("", labels, [_scores(records) for records in finished]), width)
        if any("by_presentation" in records[0] for records in finished):
            along = [_by_presentation(records) for records in finished]
            yield grid(_panel(IN_SEQUENCE, labels, along), width)
        costs = [_costs(records) for records in finished]
        yield grid(_panel("Costs, means over the runs", labels, costs), width)
        yield wrapped(_notes(finished), width)
    for label, records in zip(labels, finished, strict=True):
        title, matrix = _matrix(label, records)
        yield "\n".join([wrapped([title], width), grid(matrix, width, corner="task")])
    others = [cell for cell in cells if cell.status in ("skipped", "failed")]
    if others:
        yield wrapped([_ended(cell) for cell in others], width)


def _records(cells: Sequence[Cell]) -> list[Record]:
    """Return the results of those that finished."""
    return [cell.record for cell in cells if cell.record and cell.record["status"] == "ok"]


def _ended(cell: Cell) -> str:
    spec = cell.specification
    return f"{cell.status}: {spec['strategy']['name']}, seed {spec['seed']}: {cell.reason}"


def _notes(finished: Sequence[Sequence[Record]]) -> list[str]:
    several = any(len(records) > 1 for records in finished)
    episodes = any(len(r) == 1 and over_episodes(r[0]["metrics"]) for r in finished)
    return [
        "Metrics in %" + (", ± half a 95 % t interval over n seeds." if several else "."),
        *([OVER_EPISODES] if episodes else []),
        "passes: epochs over an experience (– if not by epochs). memory: exemplars and policy."
        " seconds: training and evaluation.",
        *(definition(METRICS[name]) for name in SHOWN),
    ]


def _labels(specifications: list[Specification]) -> list[str]:
    """Return each row's strategy, with the settings that tell it from other rows of the strategy."""
    labels = []
    for spec in specifications:
        name = spec["strategy"]["name"]
        same = [other for other in specifications if other["strategy"]["name"] == name]
        words = differing([_settings(other) for other in same])[same.index(spec)]
        label = f"{name} ({words})" if words else name
        labels.append(label + (" (transductive)" if spec["protocol"]["transductive"] else ""))
    return labels


def _settings(spec: Specification) -> dict[str, Any]:
    """Return everything a user can set of a run but its seed, as written in a configuration."""
    return {
        **spec["strategy"]["hyper_parameters"],
        **{f"options.{key}": value for key, value in spec["scenario"]["options"].items()},
        **{f"{key}_seeds": value for key, value in spec["protocol"]["named_seeds"].items()},
        **{f"eval_{key}": value for key, value in spec["protocol"].get("anytime", {}).items()},
    }


def _panel(title: str, labels: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Panel:
    """Return rows of the same columns as a panel."""
    columns = tuple(("", name) for name in rows[0])
    body = [tuple(map(Text, row.values())) for row in rows]
    return Panel(title, columns, tuple(zip(labels, body, strict=True)))


def _scores(records: Sequence[Record]) -> dict[str, str]:
    row = {"n": str(len(records))}
    for metric in SHOWN:
        row[spaced(metric)] = _percent([record["metrics"][metric] for record in records])
    if len(records) == 1:
        row["average accuracy"] += over_episodes(records[0]["metrics"])
    return row


def _by_presentation(records: Sequence[Record]) -> dict[str, str]:
    columns = zip(*(record["by_presentation"] for record in records), strict=True)
    return {str(k): f"{100 * fmean(column):.1f}" for k, column in enumerate(columns, 1)}


def _percent(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return NONE
    return percent(*mean_interval(known))


def _costs(records: Sequence[Record]) -> dict[str, str]:
    spec = records[0]["specification"]
    mean = {name: fmean(record["budget"][name] for record in records) for name in BUDGET}
    return {
        "passes": str(passes(spec) or NONE),
        "memory": memory(spec, round(mean["memory_examples"])),
        **{
            spaced(name): f"{mean[name]:,.0f}" for name in ("memory_bytes", "steps", "samples_seen")
        },
        "seconds": f"{mean['train_seconds'] + mean['eval_seconds']:.1f}",
    }


def _matrix(label: str, records: Sequence[Record]) -> tuple[str, Panel]:
    """Return the mean accuracy matrix and its title."""
    seed = records[0]["specification"]["seed"]
    seeds = f"seed {seed}" if len(records) == 1 else f"mean of {len(records)} seeds"
    title = f"Accuracy matrix of {label} ({seeds}), in %: test accuracy on each task"
    matrices = [record["matrix"] for record in records]
    tasks = range(len(matrices[0][0]))
    names = ["before", *(f"after {i + 1}" for i in tasks)]
    rows = [
        {str(j + 1): _percent_mean([matrix[i][j] for matrix in matrices]) for j in tasks}
        for i in range(len(names))
    ]
    return title, _panel("", names, rows)


def _percent_mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * fmean(known):.1f}" if len(known) == len(values) else NONE
