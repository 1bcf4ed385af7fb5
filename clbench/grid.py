"""The grid of a command: every dataset × scenario × strategy × seed, specified before the first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from clbench import results
from clbench.assignments import share_out
from clbench.runner import scenario_class, specify, strategy_class
from clbench.specification import Specification, result_path


@dataclass(frozen=True)
class Request:
    """What a user asked for."""

    datasets: Sequence[str]
    scenarios: Sequence[str]
    strategies: Sequence[str]
    seeds: Sequence[int] = (0,)
    options: Sequence[tuple[str, Any]] = ()
    """Scenario options, ``key`` or ``scenario.key``."""
    hyper_parameters: Sequence[tuple[str, Any]] = ()
    """Hyper-parameters, ``key`` or ``strategy.key``."""
    named_seeds: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Values of a named seed, crossed with the seeds."""
    data_dir: Path | None = None


@dataclass
class Cell:
    """One run of the grid."""

    specification: Specification
    path: Path
    status: str = "planned"
    """``planned``, then ``ok``, ``found``, ``skipped`` or ``failed``."""
    reason: str | None = None
    """Why it was skipped or failed."""
    record: results.Record | None = None

    def summary(self) -> dict[str, Any]:
        """Return the cell as ``--json`` prints it."""
        spec = self.specification
        has_file = self.status in ("ok", "found", "failed")
        return {
            "scenario": spec["scenario"]["name"],
            "strategy": spec["strategy"]["name"],
            "dataset": spec["dataset"]["name"],
            "seed": spec["seed"],
            "status": self.status,
            "metrics": self.record["metrics"] if self.record else None,
            "file": str(self.path.absolute()) if has_file else None,
            "reason": self.reason,
        }


def build(request: Request, folder: Path, force: bool = False) -> list[Cell]:
    """Return the grid's cells, each found, skipped or planned.

    Args:
        request: What to run.
        folder: The results folder.
        force: Plan runs again whose result is there.

    Raises:
        UsageError: A name, option or value is wrong.
        DataError: A dataset is missing or damaged.
    """
    learners = {name: strategy_class(name)[0].Parameters for name in request.strategies}
    streams = {name: scenario_class(name)[0].Options for name in request.scenarios}
    hyper = share_out(
        request.hyper_parameters, {n: list(p.model_fields) for n, p in learners.items()}
    )
    options = share_out(request.options, {n: list(p.model_fields) for n, p in streams.items()})
    for name, kind in learners.items():  # cheap mistakes first, before any data are read
        kind.parse(hyper[name], f"strategy {name!r}")
    for name, kind in streams.items():
        kind.parse(options[name], f"scenario {name!r}")
    cells: dict[Path, Cell] = {}
    axes = product(request.datasets, streams, learners, request.seeds, _crossed(request))
    for dataset, scenario, strategy, seed, named in axes:
        specification, reason = specify(
            dataset=dataset,
            scenario=scenario,
            strategy=strategy,
            seed=seed,
            options=options[scenario],
            hyper_parameters=hyper[strategy],
            seeds=named,
            data_dir=request.data_dir,
        )
        cell = Cell(specification, result_path(folder, specification))
        if reason is not None:
            cell.status, cell.reason = "skipped", reason
        elif not force:
            _look_up(cell)
        cells.setdefault(cell.path, cell)
    return list(cells.values())


def _look_up(cell: Cell) -> None:
    record = results.read(cell.path)
    if record is not None and record["status"] == "ok":
        cell.status, cell.record = "found", record


def _crossed(request: Request) -> list[dict[str, int]]:
    names = list(request.named_seeds)
    values = product(*request.named_seeds.values())
    return [dict(zip(names, chosen, strict=True)) for chosen in values]
