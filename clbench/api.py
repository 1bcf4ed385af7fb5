"""The Python API: `run` and `read`, as short as the command line and by the same way."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clbench.compare.collection import collect
from clbench.configuration import Configuration, Grid, load
from clbench.dataset import DatasetReader
from clbench.episode_plan import EpisodeScenario
from clbench.errors import UsageError
from clbench.gathered import Results
from clbench.grid import Cell
from clbench.plugins import reload_changed
from clbench.running import Call, plan, run_all
from clbench.scenario import Scenario
from clbench.session import name_of, of_session
from clbench.specify import dataset_of
from clbench.strategy import Strategy

ScenarioLike = str | type[Scenario] | type[EpisodeScenario]
StrategyLike = str | type[Strategy]
DatasetLike = str | type[DatasetReader]
SeedsLike = int | str | Iterable[int]

_VARIABLES = {
    "device": "CLBENCH_DEVICE",
    "threads": "CLBENCH_THREADS",
    "results": "CLBENCH_RESULTS",
    "data_dir": "CLBENCH_DATA",
}


def run(  # noqa: PLR0913 (the options of `clbench run`)
    scenario: ScenarioLike | Sequence[ScenarioLike] | None = None,
    strategy: StrategyLike | Sequence[StrategyLike] | None = None,
    dataset: DatasetLike | Sequence[DatasetLike] | None = None,
    *,
    seeds: SeedsLike | None = None,
    options: Mapping[Any, Any] | None = None,
    hyper_parameters: Mapping[Any, Any] | None = None,
    vary: Mapping[Any, Any] | None = None,
    named_seeds: Mapping[str, SeedsLike] | None = None,
    eval_every: int | None = None,
    eval_samples: int | None = None,
    precision: str | None = None,
    config: str | Path | None = None,
    plugins: Sequence[str] = (),
    results: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    jobs: int | None = None,
    together: int | None = None,
    capture: bool = False,
    compile: bool = False,  # noqa: A002 (as the option)
    force: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
) -> Results:
    """Run strategies on scenarios, as ``clbench run`` does, and return what they reached.

    A run whose result is there is not run again, unless its class stands in no file. A run that fails is one of the
    results; its status is ``failed``. What is not given is said by the environment, else by the configuration, else it
    is the default of the command line.

    Args:
        scenario: A name or a class, or several.
        strategy: The same. A class of a file is run as the file is now, under the name ``FILE.py:CLASS``.
        dataset: The same; ``"digits"`` by default.
        seeds: ``3``, ``range(5)``, ``"0-4"``; 0 by default.
        options: Scenario options, for every scenario that has them; a mapping under a scenario's name or class is for
            that one: ``{"experiences": 5, "class-incremental": {"head": "all"}}``.
        hyper_parameters: The same for strategies: ``{"lr": 0.01, "replay": {"memory_size": 50}}``.
        vary: The same with lists of values, of which every combination is run; options under ``"options"``.
        named_seeds: Seeds of ``order``, ``init``, ``train`` or ``memory`` alone, crossed with the others.
        eval_every: Evaluate while learning, too, every so many steps; adds the any-time metrics.
        eval_samples: Test samples of each task for that; all by default.
        precision: Of forward passes: ``float32`` by default, or ``bf16`` for mixed precision.
        config: Name of a shipped configuration, or a TOML file.
        plugins: Files or modules to import first.
        results: Results folder; ``results`` by default.
        data_dir: Data folder; your user's by default.
        device: ``auto`` by default, or ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        threads: CPU threads of a run, 1 by default; other counts give other bits.
        jobs: Worker processes; a script must then call this under ``if __name__ == "__main__":``.
        together: Seeds of a run whose networks learn as one stack, where the strategy can; for a GPU.
        capture: Take training steps as CUDA graphs, where the strategy can.
        compile: Let torch compile what a step calls again and again, where the strategy says.
        force: Run again what is already there.
        dry_run: Check everything, run nothing.
        quiet: No progress on stderr.

    Raises:
        UsageError: A name, option or value is wrong; nothing was run.
        DataError: A dataset is missing or damaged; nothing was run.
        ResultsError: The results folder cannot be written to.
        KeyboardInterrupt: The user interrupted; a second call goes on from there.
    """
    refresh()
    _refuse_import_by_worker()
    configuration = Configuration() if config is None else load(str(config))
    said: dict[str, Any] = {
        "scenario": _names("scenarios", scenario),
        "strategy": _names("strategies", strategy),
        "dataset": _names("datasets", dataset),
        "seeds": _seeds(os.environ.get("CLBENCH_SEEDS") if seeds is None else seeds),
        "options": _table("scenarios", options),
        "hyper_parameters": _table("strategies", hyper_parameters),
        "vary": _varied(vary),
        "eval_every": eval_every,
        "eval_samples": eval_samples,
        "precision": precision,
        **{f"{name}_seeds": _seeds(own) for name, own in (named_seeds or {}).items()},
    }
    given: dict[str, Any] = {"results": results, "data_dir": data_dir, "device": device}
    given |= {
        "threads": threads,
        "jobs": jobs,
        "together": together,
        "capture": capture,
        "compile": compile,
        "force": force,
        "quiet": quiet,
    }
    call = _call(configuration, given, plugins)
    grid = Grid.parse(_known(said), "clbench.run")
    if call.jobs > 1:
        _refuse_session([*grid.scenario, *grid.strategy])
    cells = plan(configuration, grid, call)
    if not dry_run:
        run_all(cells, call)
    return Results(cells)


def read(*folders: str | Path) -> Results:
    """Return the results below some folders, each run once, as ``clbench compare`` reads them.

    What is left out is said in a warning.

    Args:
        *folders: ``CLBENCH_RESULTS``, else ``results``, if there is none.

    Raises:
        ResultsError: A folder does not exist, or there is no result in any.
    """
    usual = os.environ.get("CLBENCH_RESULTS") or "results"
    collection = collect([Path(folder).expanduser() for folder in folders or (usual,)])
    for sentence in collection.ignored:
        warnings.warn(f"left out {sentence}", stacklevel=2)
    return Results(
        Cell(
            specification=run.specification,
            path=run.path,
            status="found" if run.finished else run.record["status"],
            reason=None if run.finished else run.reason,
            record=run.record,
        )
        for run in collection.runs
    )


def refresh() -> None:
    """Forget data and plug-in files as they were: in a session, unlike on the command line, they may have changed.

    Raises:
        UsageError: A plug-in file that was edited fails to import.
    """
    reload_changed()
    dataset_of.cache_clear()


def plain(value: Any) -> Any:
    """Return a setting as TOML would have it: lists for tuples and arrays, text for paths, numbers for numpy's."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return str(value) if isinstance(value, Path) else value


def _known(said: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if value is not None}


def _names(kind: str, given: Any) -> list[str] | None:
    if given is None:
        return None
    several = given if isinstance(given, (list, tuple)) else [given]
    return [name_of(kind, one) for one in several]


def _seeds(given: Any) -> list[Any] | None:
    """Return seeds as a grid has them: numbers, or texts such as 0-4."""
    if given is None or isinstance(given, str):
        return None if given is None else [given]
    numbers = given if isinstance(given, Iterable) else [given]
    return [plain(number) for number in numbers]


def _table(kind: str, given: Mapping[Any, Any] | None) -> dict[str, Any] | None:
    """Return settings with classes as keys by their names."""
    if given is None:
        return None
    return {name_of(kind, key): plain(value) for key, value in given.items()}


def _varied(given: Mapping[Any, Any] | None) -> dict[str, Any] | None:
    table = _table("strategies", given)
    if table is not None and given is not None and isinstance(given.get("options"), Mapping):
        table["options"] = _table("scenarios", given["options"])
    return table


def _call(configuration: Configuration, given: Mapping[str, Any], plugins: Sequence[str]) -> Call:
    """Return how to run: as given, else as the environment says, else the configuration."""
    said = {key: os.environ.get(variable) or None for key, variable in _VARIABLES.items()}
    chosen = {"results": "results", **configuration.running, **_known(said), **_known(given)}
    for key in ("results", "data_dir"):
        if key in chosen:  # absolute: a session may change its folder and still ask for its results
            chosen[key] = Path(chosen[key]).expanduser().absolute()
    if str(chosen.get("threads")).isdecimal():
        chosen["threads"] = int(chosen["threads"])
    return Call.parse({**chosen, "plugins": (*configuration.plugins, *plugins)}, "clbench.run")


def _refuse_session(names: Iterable[str]) -> None:
    """Refuse classes that a worker process could not find."""
    for name in filter(of_session, names):
        title = name.partition(":")[2]
        raise UsageError(
            f"class {title} was defined at a prompt, where worker processes cannot find it; put it"
            f" in a file and give FILE.py:{title}, or leave jobs=1"
        )


def _refuse_import_by_worker() -> None:
    """Refuse to begin anew in a worker process that only imports the script it belongs to."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(
            "worker processes import the script that calls clbench.run(jobs=…): call it under"
            ' `if __name__ == "__main__":`'
        )
