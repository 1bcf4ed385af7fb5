"""The grid of a command: every run it asks for, specified before the first one begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from clbench import results
from clbench.errors import UsageError, about
from clbench.evaluator import Anytime
from clbench.precision import Precision
from clbench.session import of_session
from clbench.specification import Specification, result_path
from clbench.specify import scenario_class, specify, strategy_class


@dataclass(frozen=True)
class Request:
    """One strategy with one setting on one scenario of one dataset, over seeds."""

    dataset: str
    scenario: str
    strategy: str
    seeds: Sequence[int] = (0,)
    options: Mapping[str, Any] = field(default_factory=dict)
    hyper_parameters: Mapping[str, Any] = field(default_factory=dict)
    named_seeds: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Values of a named seed, crossed with the seeds."""
    anytime: Anytime | None = None
    """Evaluate while learning, too."""
    precision: Precision = "float32"
    origin: str = ""
    """The grid of a configuration it comes from, for messages."""


@dataclass
class Cell:
    """One run of the grid."""

    specification: Specification
    path: Path
    origin: str = ""
    """The request's."""
    anew: bool = False
    """Whether it is run even if its result is there."""
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


def build(
    requests: Sequence[Request], folder: Path, data_dir: Path | None = None, force: bool = False
) -> list[Cell]:
    """Return the cells of all requests, each found, skipped or planned.

    Args:
        requests: What to run.
        folder: The results folder.
        data_dir: Data directory; None is the usual one.
        force: Plan runs again whose result is there.

    Raises:
        UsageError: A name, option or value is wrong, or two requests name the same run.
        DataError: A dataset is missing or damaged.
    """
    for request in requests:  # cheap mistakes first, before any data are read
        with about(request.origin):
            _check(request)
    cells: dict[Path, Cell] = {}
    for request in requests:
        for cell in _cells(request, folder, data_dir, force):
            if cell.path in cells:
                raise UsageError(_twice(cells[cell.path], cell))
            cells[cell.path] = cell
    return list(cells.values())


def _check(request: Request) -> None:
    learner, _ = strategy_class(request.strategy)
    learner.Parameters.parse(request.hyper_parameters, f"strategy {request.strategy!r}")
    stream, _ = scenario_class(request.scenario)
    stream.Options.parse(request.options, f"scenario {request.scenario!r}")


def _cells(request: Request, folder: Path, data_dir: Path | None, force: bool) -> Iterator[Cell]:
    for seed, named in product(request.seeds, _crossed(request)):
        with about(request.origin):
            specification, reason = specify(
                dataset=request.dataset,
                scenario=request.scenario,
                strategy=request.strategy,
                seed=seed,
                options=request.options,
                hyper_parameters=request.hyper_parameters,
                seeds=named,
                anytime=request.anytime,
                precision=request.precision,
                data_dir=data_dir,
            )
        path = result_path(folder, specification)
        anew = force or any(map(of_session, (request.scenario, request.strategy)))
        cell = Cell(specification, path, request.origin, anew)
        if reason is not None:
            cell.status, cell.reason = "skipped", reason
        elif not anew:
            _look_up(cell)
        yield cell


def _twice(first: Cell, second: Cell) -> str:
    spec = first.specification
    dataset, scenario, strategy = (spec[key]["name"] for key in ("dataset", "scenario", "strategy"))
    run = f"{strategy} on {scenario} {dataset}, seed {spec['seed']}"
    if first.origin == second.origin:
        return f"{first.origin} names a run twice: {run}; the values in [vary] must differ"
    return f"{first.origin} and {second.origin} name the same run: {run}"


def _look_up(cell: Cell) -> None:
    record = results.read(cell.path)
    if record is not None and record["status"] == "ok":
        cell.status, cell.record = "found", record


def _crossed(request: Request) -> list[dict[str, int]]:
    names = list(request.named_seeds)
    values = product(*request.named_seeds.values())
    return [dict(zip(names, chosen, strict=True)) for chosen in values]
