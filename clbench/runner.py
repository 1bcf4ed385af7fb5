"""`run_one`: from a specification to a record; the one way a run happens, wherever it is called from."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from inspect import isabstract
from pathlib import Path
from typing import Any

import torch

from clbench import metrics
from clbench.dataset import Dataset, data_folder
from clbench.dataset import load as load_dataset
from clbench.errors import ClbenchError, NonFiniteLossError, UsageError, unknown
from clbench.evaluator import Outcome, Progress, run_stream
from clbench.parameters import Parameters
from clbench.provenance import provenance
from clbench.registry import Resolved, resolve
from clbench.results import Record
from clbench.scenario import Labels, Plan, Scenario, ScenarioOptions, plan_stream
from clbench.seeds import Seeds
from clbench.specification import EVALUATION_VERSION, Specification
from clbench.strategy import Strategy
from clbench.stream import Stream


@dataclass(frozen=True)
class Execution:
    """Where a run happens; changes no number beyond floating-point order."""

    device: str = "cpu"
    data_dir: Path | None = None
    threads: int = 1
    """CPU threads. One is as fast for small networks, and the same bits alone or beside other runs."""


def choose_device(name: str) -> str:
    """Return the device ``name`` stands for; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        UsageError: There is no such device on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise UsageError(
            f"device {name!r} cannot be used here ({reason}); try auto or cpu"
        ) from None
    return name


@lru_cache(maxsize=4)
def dataset_of(name: str, data_dir: Path | None) -> Dataset:
    """Return a dataset, kept for the next run of the same process."""
    return load_dataset(name, data_dir or data_folder(None))


def strategy_class(name: str) -> tuple[type[Strategy], Resolved]:
    """Return the strategy a name stands for.

    Raises:
        UsageError: There is none, or it is not a `Strategy`.
    """
    found = resolve("strategies", name)
    if not (isinstance(found.target, type) and issubclass(found.target, Strategy)):
        raise UsageError(f"{name!r} is not a subclass of clbench.Strategy")
    if isabstract(found.target):
        missing = ", ".join(sorted(found.target.__abstractmethods__))
        raise UsageError(f"strategy {name!r} does not define {missing}")
    return found.target, found


def scenario_class(name: str) -> tuple[type[Scenario], Resolved]:
    """Return the scenario a name stands for.

    Raises:
        UsageError: There is none, or it is not a `Scenario`.
    """
    found = resolve("scenarios", name)
    if not (isinstance(found.target, type) and issubclass(found.target, Scenario)):
        raise UsageError(f"{name!r} is not a subclass of clbench.Scenario")
    return found.target, found


def specify(
    *,
    dataset: str,
    scenario: str,
    strategy: str,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    hyper_parameters: Mapping[str, Any] | None = None,
    seeds: Mapping[str, int] | None = None,
    data_dir: Path | None = None,
) -> tuple[Specification, str | None]:
    """Return the full specification of a run, and why it must be skipped (None if it need not).

    Args:
        dataset: Name, as on the command line.
        scenario: Name.
        strategy: Name.
        seed: The run's seed.
        options: Scenario options that differ from the defaults.
        hyper_parameters: Hyper-parameters that differ from the defaults.
        seeds: Named seeds that differ: ``order``, ``init``, ``train``, ``memory``.
        data_dir: Data directory; None is the usual one.

    Raises:
        UsageError: A name, option or value is wrong.
        DataError: The dataset is missing or damaged.
    """
    seeds = dict(seeds or {})
    for name in seeds:
        if name not in ("order", "init", "train", "memory"):
            raise UsageError(unknown("named seed", name, ["order", "init", "train", "memory"]))
    learner, found_learner = strategy_class(strategy)
    stream_kind, found_stream = scenario_class(scenario)
    hyper = learner.Parameters.parse(hyper_parameters or {}, f"strategy {strategy!r}")
    chosen = stream_kind.Options.parse(options or {}, f"scenario {scenario!r}")
    data = dataset_of(dataset, data_dir)
    plan = _plan(stream_kind, chosen, data, Seeds.of(seed, **seeds), scenario)
    # What `sizes` or `angles` imply is recorded, and agrees when the specification is read back.
    chosen = chosen.model_copy(update={"experiences": len(plan.tasks)})
    specification = {
        "dataset": {"name": dataset, "hash": data.hash},
        "scenario": _named(found_stream, stream_kind.version, "options", chosen),
        "strategy": _named(found_learner, learner.version, "hyper_parameters", hyper),
        "seed": seed,
        "protocol": _protocol(plan, learner, seeds),
    }
    stream = _stream(data, plan, chosen, scenario, Seeds.of(seed, **seeds), "cpu")
    candidate = learner(hyper)
    reason = candidate.skip_reason(stream.info)
    if reason is None:
        candidate.check(stream.info)
    return specification, reason


def _named(found: Resolved, number: int, key: str, values: Parameters) -> dict[str, Any]:
    return {
        "name": found.name,
        "version": number,
        "source": found.source,
        key: values.model_dump(mode="json"),
    }


def _protocol(plan: Plan, learner: type[Strategy], seeds: Mapping[str, int]) -> dict[str, Any]:
    return {
        "evaluation": EVALUATION_VERSION,
        "precision": "float32",
        "named_seeds": dict(sorted(seeds.items())),
        "head": plan.head,
        "train_mask": plan.train_mask,
        "test_mask": plan.test_mask,
        "tells_task": plan.tells_task,
        "evaluated_on": "validation" if plan.held_out else "test",
        "transductive": learner.transductive,
    }


def _plan(
    kind: type[Scenario], options: ScenarioOptions, data: Dataset, seeds: Seeds, name: str
) -> Plan:
    labels = Labels(data.y_train.numpy(), data.y_test.numpy(), len(data.classes))
    try:
        return plan_stream(kind(), labels, options, seeds.order)
    except UsageError as error:
        raise UsageError(f"scenario {name!r}: {error}") from None


def _stream(
    data: Dataset, plan: Plan, options: ScenarioOptions, scenario: str, seeds: Seeds, device: str
) -> Stream:
    return Stream(data, plan, options, scenario=scenario, seeds=seeds, device=torch.device(device))


def run_one(
    specification: Specification,
    execution: Execution | None = None,
    progress: Progress | None = None,
) -> Record:
    """Run a specification and return its record; a failure is a record too.

    Args:
        specification: From `specify`.
        execution: Device and data directory.
        progress: Told of every step and row.

    Raises:
        KeyboardInterrupt: The user interrupted; there is no record.
    """
    execution = execution or Execution()
    threads_before = torch.get_num_threads()
    torch.set_num_threads(execution.threads)
    try:
        return _run(specification, execution, progress)
    finally:
        torch.set_num_threads(threads_before)


def _run(specification: Specification, execution: Execution, progress: Progress | None) -> Record:
    started = datetime.now(UTC)
    outcome = Outcome()
    strategy: Strategy | None = None
    record: Record = {"status": "ok", "specification": specification}
    begun = time.perf_counter()
    try:
        stream, strategy = _prepare(specification, execution)
        run_stream(stream, strategy, outcome, progress)
    except (Exception, SystemExit) as error:  # it may fail in any way; the other runs go on
        record["status"] = "failed"
        record["error"] = _describe(error, len(outcome.matrix))
    finished = record["status"] == "ok"
    record["matrix"] = outcome.matrix
    record["metrics"] = (
        metrics.compute_all(outcome.matrix) if finished else dict.fromkeys(metrics.METRICS)
    )
    record["budget"] = _budget(strategy, outcome)
    record["provenance"] = provenance(
        execution.device, execution.threads, started, time.perf_counter() - begun
    )
    return record


def _prepare(specification: Specification, execution: Execution) -> tuple[Stream, Strategy]:
    learner, _ = strategy_class(specification["strategy"]["name"])
    kind, _ = scenario_class(specification["scenario"]["name"])
    options = kind.Options.parse(specification["scenario"]["options"], "scenario")
    data = dataset_of(specification["dataset"]["name"], execution.data_dir)
    if data.hash != specification["dataset"]["hash"]:
        raise ClbenchError("the dataset changed since the run was specified")
    seeds = Seeds.of(specification["seed"], **specification["protocol"]["named_seeds"])
    name = specification["scenario"]["name"]
    plan = _plan(kind, options, data, seeds, name)
    stream = _stream(data, plan, options, name, seeds, execution.device)
    hyper = specification["strategy"]["hyper_parameters"]
    strategy = learner(learner.Parameters.parse(hyper, "strategy"))
    strategy.setup(stream.info)
    return stream, strategy


def _describe(error: BaseException, rows: int) -> dict[str, Any]:
    place = {"experience": max(rows - 1, 0), "step": None}
    if isinstance(error, NonFiniteLossError):
        place = {"experience": error.experience, "step": error.step}
    return {
        "type": type(error).__name__,
        "message": str(error),
        **place,
        "traceback": "".join(traceback.format_exception(error)),
    }


def _budget(strategy: Strategy | None, outcome: Outcome) -> dict[str, Any]:
    budget: dict[str, Any] = {
        "train_seconds": round(outcome.train_seconds, 4),
        "eval_seconds": round(outcome.eval_seconds, 4),
        "steps": 0,
        "samples_seen": 0,
        "memory_examples": 0,
        "memory_bytes": 0,
        "working_bytes": 0,
        "parameters": 0,
    }
    if strategy is not None and outcome.matrix:
        budget["steps"] = strategy.effort.steps
        budget["samples_seen"] = strategy.effort.samples_seen
        budget["memory_examples"] = len(strategy.memory) if strategy.memory is not None else 0
        budget["memory_bytes"] = strategy.memory_bytes()
        budget["working_bytes"] = strategy.working_bytes()
        budget["parameters"] = strategy.parameter_count()
    return budget
