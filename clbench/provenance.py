"""Where, when and with what a run was made: recorded, never hashed."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def provenance(
    device: str, threads: int, started: datetime, seconds: float, execution: str = "alone"
) -> dict[str, Any]:
    """Return where, when and with what a run was made.

    Args:
        device: As given to torch.
        threads: CPU threads of the run.
        started: Its beginning.
        seconds: Its wall-clock time.
        execution: How it was run, in words.
    """
    kind = torch.device(device)
    return {
        "command": " ".join(["clbench", *sys.argv[1:]]),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "device": device,
        "device_name": torch.cuda.get_device_name(kind) if kind.type == "cuda" else _processor(),
        "threads": threads,
        "execution": execution,
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("clbench", "torch", "numpy")},
        "commit": _commit(),
    }


def _processor() -> str:
    """Return the processor's model; Linux tells it only here."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def _commit() -> str | None:
    """Return the commit of the checkout clbench runs from, marked if files differ; None elsewhere."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
