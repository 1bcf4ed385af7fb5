"""The cache of datasets that were read: one safetensors file each, never in a data directory, never a pickle."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def cache_folder() -> Path:
    """Return the cache directory: ``CLBENCH_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("CLBENCH_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("clbench")


def keep(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors, and facts beside them, atomically; where that cannot be done, go on without."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
        os.close(handle)
        save_file(dict(tensors), temporary, {"facts": json.dumps(facts)})
        Path(temporary).replace(path)
    except (OSError, SafetensorError):
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def kept(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and facts of a file.

    Raises:
        ValueError: It is absent or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
            return {key: file.get_tensor(key) for key in set(file.keys())}, facts
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"no cache in {path}") from error
