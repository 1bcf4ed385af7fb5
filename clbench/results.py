"""The result store: one JSON file per run, written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clbench.errors import ResultsError
from clbench.metrics import METRICS

Record = dict[str, Any]
KEYS = ("status", "specification", "matrix", "metrics", "budget", "provenance")
BUDGET = (
    "train_seconds",
    "eval_seconds",
    "steps",
    "samples_seen",
    "memory_examples",
    "memory_bytes",
    "working_bytes",
    "parameters",
)
"""What every result has spent; a budget may say more."""
WORK = ".work"
"""Locks, checkpoints and temporary files live here, under suffixes other than ``.json``."""
TRAINED = ".trained"
"""States that meta-training ended in live here, for other runs to test."""
TEMPORARY = ".tmp"
ORPHANED_AFTER = 600.0
"""Seconds after which a temporary file has no writer any more."""


def read(path: Path) -> Record | None:
    """Return a result; None if there is none, it is damaged, or it is of a version that stored less."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    whole = (
        _has(record, KEYS) and _has(record["metrics"], METRICS) and _has(record["budget"], BUDGET)
    )
    return record if whole else None


def _has(mapping: Any, keys: Iterable[str]) -> bool:
    return isinstance(mapping, dict) and all(key in mapping for key in keys)


def write(path: Path, record: Record, results: Path) -> None:
    """Write a result atomically.

    Raises:
        ResultsError: The file could not be written (full disk, no permission); nothing is left.
    """
    text = json.dumps(finite(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_text(path, text, results / WORK)


def write_text(path: Path, text: str, scratch: Path) -> None:
    """Write a file atomically: a temporary file in ``scratch``, flushed to disk, then renamed.

    Raises:
        ResultsError: The file could not be written (full disk, no permission); nothing is left.
    """
    with written_whole(path, scratch) as temporary:
        temporary.write_text(text, "utf-8")


@contextmanager
def written_whole(path: Path, scratch: Path) -> Iterator[Path]:
    """Yield a temporary file to write; when all went well it is flushed to disk and takes the place of ``path``.

    Raises:
        ResultsError: It could not be written (full disk, no permission); nothing is left.
    """
    temporary: Path | None = None
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=scratch, suffix=TEMPORARY)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Let a rename survive a power cut, where the system can be asked to."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def work_path(results: Path, path: Path, suffix: str) -> Path:
    """Return where the lock or checkpoint of a file lives: below ``.work``, named after it."""
    return (results / WORK / path.relative_to(results)).with_suffix(suffix)


def lock_path(results: Path, path: Path) -> Path:
    """Return the file to lock for a file. It stays: who deletes one may leave two processes with a lock each.

    Raises:
        ResultsError: Its folder cannot be made.
    """
    lock = work_path(results, path, ".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"cannot write {lock}: {error.strerror or error}") from error
    return lock


def sweep(results: Path) -> None:
    """Delete temporary files that a killed process left behind: a living one needs them for moments only."""
    for left in (results / WORK).rglob(f"*{TEMPORARY}"):
        with suppress(OSError):  # gone already, or somebody else's
            if time.time() - left.stat().st_mtime > ORPHANED_AFTER:
                left.unlink()


def finite(value: Any) -> Any:
    """Return the value with non-finite numbers as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
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
        if not {WORK, TRAINED} & set(path.parts):
            yield path
