"""Classes given as objects, and the names they go by: what a run is stays plain data that any process can be sent."""

from __future__ import annotations

import inspect
import linecache
import sys
from pathlib import Path
from types import FunctionType

from clbench.errors import UsageError
from clbench.plugins import file_of, hash_of
from clbench.registry import KINDS, Resolved, keep, name_by_entry_point

_SESSION = "__main__:"


def name_of(kind: str, target: object) -> str:
    """Return the name that stands for a class: that of its entry point, else ``FILE.py:CLASS``.

    A class of a notebook or a prompt is kept as ``__main__:CLASS``, with the text of its cell as its source.

    Args:
        kind: ``"scenarios"``, ``"strategies"`` or ``"datasets"``.
        target: A class; a name is returned as it is.

    Raises:
        UsageError: It is neither name nor class, not at the top level of its file, or its source cannot be found.
    """
    if isinstance(target, str):
        return target
    if not isinstance(target, type):
        raise UsageError(f"a {KINDS[kind]} is given by its name or its class, not as {target!r}")
    name = name_by_entry_point(kind, target)
    if name is not None:
        return name
    if target.__qualname__ != target.__name__:
        raise UsageError(f"class {target.__qualname__} must stand at the top level of its file")
    file, code = file_of(sys.modules.get(target.__module__)), _code_file(target)
    if file is None or (code is not None and Path(code).resolve() != file):
        return _kept(kind, target, "".join(linecache.getlines(code)) if code else "")
    here = Path.cwd().resolve()
    return f"{file.relative_to(here) if file.is_relative_to(here) else file}:{target.__name__}"


def of_session(name: str) -> bool:
    """Return whether a name is of a class that is in no file.

    What it uses of other cells is in no hash, so its results are not taken for those of the same class later.
    """
    return name.startswith(_SESSION)


def _kept(kind: str, target: type, cell: str) -> str:
    """Keep a class that is in no file."""
    if kind == "datasets" or not cell:
        why = "a dataset is cached by its file" if kind == "datasets" else "has no source to hash"
        raise UsageError(
            f"class {target.__name__} was defined at a prompt and {why}; put it in a file and give"
            f" FILE.py:{target.__name__}"
        )
    name = f"{_SESSION}{target.__name__}"
    keep(kind, Resolved(name, target, None, hash_of(cell.encode())))
    return name


def _code_file(target: type) -> str | None:
    """Return where the first method of a class was compiled from: a file, or the name of a notebook's cell."""
    functions = (inspect.unwrap(f) for f in vars(target).values() if isinstance(f, FunctionType))
    return next((f.__code__.co_filename for f in functions), None)
