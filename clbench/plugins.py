"""Plug-ins as files and modules: importing them, once, and the hash of what was imported."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from clbench.blame import is_plugin_file, is_plugin_module, raised
from clbench.errors import UsageError

_sources: dict[str, str] = {}
"""The hash of each file's source as it was imported, by module name."""


def load_plugin(plugin: str) -> ModuleType:
    """Import a ``--plugin`` (a ``.py`` file or a module name), which registers what it brings.

    Raises:
        UsageError: It does not exist or fails to import.
    """
    if plugin.endswith(".py"):
        return load_file(Path(plugin))
    is_plugin_module(plugin)
    try:
        return importlib.import_module(plugin)
    except (Exception, SystemExit) as error:
        raise UsageError(f"plug-in {plugin!r} cannot be imported: {raised(error)}") from error


def load_plugins(plugins: Sequence[str]) -> None:
    """Import each plug-in, which registers what it brings.

    Raises:
        UsageError: One does not exist or fails to import.
    """
    for plugin in plugins:
        load_plugin(plugin)


def load_file(path: Path) -> ModuleType:
    """Import a Python file once, under a name derived from its path; the running script is not imported again.

    Raises:
        UsageError: The file does not exist or fails to import.
    """
    path = path.expanduser().resolve()
    if not path.is_file():
        raise UsageError(f"plug-in file {path} does not exist")
    running = sys.modules["__main__"]
    if path == file_of(running):
        _sources.setdefault(running.__name__, source_hash(running))
        is_plugin_file(path)
        return running
    name = f"clbench_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"plug-in file {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    _sources[name] = source_hash(module)  # as it is now: the file may be edited while we run
    sys.modules[name] = module  # before it runs: dataclasses and pydantic look their module up
    is_plugin_file(path)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UsageError(f"plug-in file {path} fails to import: {raised(error)}") from error
    return module


def reload_changed() -> None:
    """Import the plug-in files again that were edited since, as one does beside a notebook.

    Raises:
        UsageError: One fails to import.
    """
    for name, source in list(_sources.items()):
        path = file_of(sys.modules.get(name))
        if name != "__main__" and path and path.is_file() and source != hash_of(path.read_bytes()):
            del _sources[name], sys.modules[name]
            load_file(path)


def file_of(module: ModuleType | None) -> Path | None:
    """Return where a module was read from, if it was."""
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file else None


def source_hash(module: ModuleType) -> str:
    """Return the hash of a module's source as it was imported."""
    if module.__name__ in _sources:
        return _sources[module.__name__]
    path = getattr(module, "__file__", None)
    return hash_of(Path(path).read_bytes() if path else module.__name__.encode())


def hash_of(content: bytes) -> str:
    """Return the hash of a source."""
    return hashlib.sha256(content).hexdigest()[:16]


def classes_of(module: ModuleType) -> list[str]:
    """Return the public classes that a file defines, not those it imports."""
    classes = ((name, found) for name, found in vars(module).items() if isinstance(found, type))
    return [
        name
        for name, found in classes
        if not name.startswith("_") and found.__module__ == module.__name__
    ]
