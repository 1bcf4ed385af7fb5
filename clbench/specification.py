"""A run's specification: everything that changes a number, as plain data, and its hash."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

EVALUATION_VERSION = 1
"""Of what `clbench.evaluator` and `clbench.metrics` compute; raised when a number would change."""

Specification = dict[str, Any]


def canonical(value: Any) -> str:
    """Return the value as JSON that does not depend on the order of keys; NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def run_hash(specification: Specification) -> str:
    """Return 12 hex digits for everything but the run's seed; the dataset counts by its content."""
    hashed = {key: value for key, value in specification.items() if key != "seed"}
    hashed["dataset"] = specification["dataset"]["hash"]
    return hashlib.sha256(canonical(hashed).encode()).hexdigest()[:12]


def result_path(results: Path, specification: Specification) -> Path:
    """Return where the run's result belongs below the results folder."""
    folders = [_safe(specification[key]["name"]) for key in ("dataset", "scenario", "strategy")]
    return results.joinpath(*folders, f"{run_hash(specification)}-s{specification['seed']}.json")


def _safe(name: str) -> str:
    """Return the name as a folder; never one that means another place."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip(".") or "-"
