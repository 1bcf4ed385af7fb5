"""Small result files, made up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clbench import results
from clbench.compare.collection import Run
from clbench.metrics import METRICS, compute_all
from clbench.seeds import Seeds
from clbench.specification import result_path

HYPER: dict[str, dict[str, Any]] = {
    "finetune": {"lr": 0.1, "epochs": 5},
    "joint": {"lr": 0.1, "epochs": 5},
    "nearest": {"memory_size": 20, "memory_policy": "balanced"},
    "replay": {"lr": 0.1, "epochs": 5, "memory_size": 20, "memory_policy": "balanced"},
}


def record(
    strategy: str = "replay",
    seed: int = 0,
    cells: tuple[float, float, float] = (0.9, 0.7, 0.8),
    **changes: Any,
) -> dict[str, Any]:
    """Return a result of two tasks.

    Args:
        strategy: Its name.
        seed: The run's seed.
        cells: R[1,1], R[2,1] and R[2,2].
        changes: ``scenario``, ``dataset``; ``hyper_parameters``, ``options``, ``protocol``, ``budget`` and
            ``provenance`` are added to the usual ones; what else is given stands at the top.
    """
    first, old, new = cells
    matrix: list[list[float | None]] = [[None, None], [first, None], [old, new]]
    protocol = {
        "evaluation": 1,
        "precision": "float32",
        "named_seeds": {},
        "head": "single",
        "train_mask": "seen",
        "test_mask": "seen",
        "tells_task": False,
        "evaluated_on": "test",
        "transductive": False,
    }
    options = {
        "experiences": 2,
        "class_order": "shuffled",
        "samples": None,
        "validation": 0.0,
        "online": False,
        "batch_size": 10,
        "boundaries": True,
        "sizes": None,
    }
    hyper = HYPER.get(strategy, {}) | changes.pop("hyper_parameters", {})
    budget = {
        "train_seconds": 1.5,
        "eval_seconds": 0.5,
        "steps": 1000,
        "samples_seen": 2000,
        "memory_examples": hyper.get("memory_size", 0),
        "memory_bytes": 64 * hyper.get("memory_size", 0),
        "working_bytes": 0,
        "parameters": 100,
    }
    return {
        "status": "ok",
        "specification": {
            "dataset": changes.pop("dataset", {"name": "toy", "hash": "abc"}),
            "scenario": {
                "name": changes.pop("scenario", "class-incremental"),
                "version": 1,
                "source": None,
                "options": options | changes.pop("options", {}),
            },
            "strategy": {
                "name": strategy,
                "version": 1,
                "source": None,
                "hyper_parameters": hyper,
            },
            "seed": seed,
            "protocol": protocol | changes.pop("protocol", {}),
        },
        "matrix": matrix,
        "metrics": compute_all(matrix),
        "budget": budget | changes.pop("budget", {}),
        "provenance": {"started": "2026-01-01T00:00:00+00:00"} | changes.pop("provenance", {}),
        **changes,
    }


def failed(strategy: str, seed: int, message: str, **changes: Any) -> dict[str, Any]:
    """Return the record of a run that failed."""
    told = {"error": {"message": message}, "metrics": dict.fromkeys(METRICS), "matrix": []}
    return record(strategy, seed, **{"status": "failed", **told, **changes})


def store(folder: Path, records: Iterable[dict[str, Any]]) -> Path:
    """Write the records where the results store would, and return the folder."""
    for one in records:
        results.write(result_path(folder, one["specification"]), one, folder)
    return folder


def runs_of(*records: dict[str, Any]) -> list[Run]:
    """Return the records as runs, as if they had been read from files."""
    seeds = [
        Seeds.of(r["specification"]["seed"], **r["specification"]["protocol"]["named_seeds"])
        for r in records
    ]
    return [Run(Path(f"{i}.json"), r, seeds[i]) for i, r in enumerate(records)]


def episodic(strategy: str = "metanet", seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a result of 5-way 1-shot episodes; ``options`` and ``hyper_parameters`` are added to the usual ones."""
    made = record(strategy, seed, scenario="episodic", hyper_parameters=changes.pop("hyper", {}))
    made["specification"]["scenario"]["options"] = {
        "ways": 5,
        "shots": 1,
        "queries": 10,
        "rotations": "train",
        "episodes": 0,
        "test_episodes": 1000,
        "curve": 20,
        "curve_episodes": 100,
        "keep": "last",
        "validation": False,
        "split": "characters",
        **changes.pop("options", {}),
    }
    matrix: list[list[float | None]] = [[None], [0.5]]
    metrics = compute_all(matrix) | {"ci95": 0.0061, "episodes": 1000}
    return made | {"matrix": matrix, "metrics": metrics}
