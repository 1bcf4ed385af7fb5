"""The result store: one JSON file per run, written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clbench.errors import ResultsError

Record = dict[str, Any]
KEYS = ("status", "specification", "matrix", "metrics", "budget", "provenance")
WORK = ".work"
"""Temporary files live here, under suffixes other than ``.json``."""


def read(path: Path) -> Record | None:
    """Return a result; None if there is none or it is damaged."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(record, dict) and all(key in record for key in KEYS)
    return record if whole and "average_accuracy" in (record["metrics"] or {}) else None


def write(path: Path, record: Record, results: Path) -> None:
    """Write a result atomically: a temporary file, flushed to disk, then renamed.

    Raises:
        ResultsError: The file could not be written (full disk, no permission); nothing is left.
    """
    text = json.dumps(_finite(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    temporary: Path | None = None
    try:
        (results / WORK).mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=results / WORK, suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _finite(value: Any) -> Any:
    """Return the value with non-finite numbers as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def check_writable(results: Path) -> None:
    """Try to write into the results folder and leave no trace.

    Raises:
        ResultsError: It cannot be written to.
    """
    existing = results.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ResultsError(
            f"results folder {results.absolute()} cannot be written to:"
            f" {existing}: {error.strerror or error}"
        ) from error


def files(results: Path) -> Iterator[Path]:
    """Yield every result file below a folder."""
    for path in sorted(results.rglob("*.json")):
        if WORK not in path.parts:
            yield path
