"""Finding scenarios, strategies and datasets by name, without importing them.

Everything comes through one door: the entry-point groups ``clbench.scenarios``, ``clbench.strategies`` and
``clbench.datasets``, for built-ins and installed plug-ins alike. A file given with ``--plugin`` adds names with
`register`; ``my.py:Method`` names an object in a file; ``prefix:rest`` hands ``rest`` to the entry ``prefix``.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from pathlib import Path
from typing import Any, TypeVar

from clbench.blame import defined_at, is_plugin_module, raised
from clbench.errors import PluginWarning, UsageError, unknown
from clbench.plugins import classes_of, load_file, source_hash

KINDS = {"scenarios": "scenario", "strategies": "strategy", "datasets": "dataset"}
T = TypeVar("T")
_registered: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
_kept: dict[str, dict[str, Resolved]] = {kind: {} for kind in KINDS}
"""Classes of this process that are in no file; see `clbench.session`."""


@dataclass(frozen=True)
class Resolved:
    """What a name stands for."""

    name: str
    """As typed."""
    target: Any
    """The class or factory."""
    argument: str | None
    """What followed the prefix, as FILE in ``npz:FILE``."""
    source: str | None
    """Hash of the plug-in's source file; None for a built-in, whose `version` stands for it."""


class Prefix(ABC):
    """An entry that stands for many names, ``prefix:rest``, and finds what each of them means."""

    wants: str
    """What follows the colon, for messages."""

    @abstractmethod
    def find(self, name: str, rest: str) -> Resolved:
        """Return what ``name``, which is ``prefix:rest``, stands for.

        Raises:
            UsageError: There is no such thing (with a did-you-mean).
        """


def register(kind: str, name: str) -> Callable[[T], T]:
    """Register the decorated class under ``name``, from a ``--plugin`` file.

    Args:
        kind: ``"scenarios"``, ``"strategies"`` or ``"datasets"``.
        name: The name to use on the command line. A built-in of the same name wins.
    """
    if kind not in KINDS:
        raise UsageError(unknown("kind of plug-in", kind, KINDS))

    def add(target: T) -> T:
        if name in _entry_points(kind):
            _ignored(kind, name, f"the plug-in's{defined_at(target)}", _entry_points(kind)[name])
        else:
            _registered[kind][name] = target
        return target

    return add


def keep(kind: str, found: Resolved) -> None:
    """Let a name stand for a class of this process, until it is kept again."""
    _kept[kind][found.name] = found


def name_by_entry_point(kind: str, target: type) -> str | None:
    """Return the name under which a class is installed, if it is."""
    value = f"{target.__module__}:{target.__qualname__}"
    return next((e.name for e in _entry_points(kind).values() if e.value == value), None)


@cache
def _entry_points(kind: str) -> dict[str, EntryPoint]:
    """Return the group's entry points by name; built-ins win a name clash."""
    found: dict[str, EntryPoint] = {}
    ordered = sorted(
        entry_points(group=f"clbench.{kind}"), key=lambda e: (not _is_builtin(e), e.value)
    )
    for entry in ordered:
        first = found.setdefault(entry.name, entry)
        if first.value != entry.value:
            package = f" of the package {entry.dist.name}" if entry.dist else ""
            _ignored(kind, entry.name, f"{entry.value}{package}", first)
    return found


def _ignored(kind: str, name: str, loser: str, winner: EntryPoint) -> None:
    whose = "built in" if _is_builtin(winner) else winner.value
    warnings.warn(
        f"{KINDS[kind]} {name!r} is {whose}; {loser} is ignored, give it another name",
        PluginWarning,
        stacklevel=3,
    )


def _is_builtin(entry: EntryPoint) -> bool:
    return entry.module.split(".")[0] == "clbench"


def names(kind: str) -> list[str]:
    """Return every registered name of a kind, sorted."""
    return sorted({*_entry_points(kind), *_registered[kind]})


def summary(kind: str, name: str) -> str:
    """Return the first line of the docstring of the module behind ``name``; imports nothing."""
    if name in _registered[kind]:
        module = sys.modules[_registered[kind][name].__module__]
        return (module.__doc__ or "").strip().split("\n")[0]
    path = _source_path(_entry_points(kind)[name].module)
    try:
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) if path else None
    except (OSError, SyntaxError, UnicodeDecodeError):
        docstring = None
    return (docstring or "").split("\n")[0]


def _source_path(module: str) -> Path | None:
    """Return a module's file. Only parents inside clbench are imported; they are empty."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(module if top == "clbench" else top)
    except (ImportError, ValueError):
        return None
    if spec is None or top == "clbench" or not rest:
        return Path(spec.origin) if spec and spec.origin else None
    for folder in spec.submodule_search_locations or []:
        for candidate in (
            Path(folder, *rest).with_suffix(".py"),
            Path(folder, *rest, "__init__.py"),
        ):
            if candidate.is_file():
                return candidate
    return None


def resolve(kind: str, name: str) -> Resolved:
    """Return what ``name`` stands for, importing it.

    Raises:
        UsageError: The name is unknown (with a did-you-mean), a file without a class, or its module cannot be imported.
    """
    if name in _kept[kind]:
        return _kept[kind][name]
    head, colon, rest = name.partition(":")
    if head not in _entry_points(kind) and ".py:" in name:
        return object_in_file(name)
    if not colon and name.endswith(".py"):
        raise UsageError(f"{name!r} names a file alone; write {name}:CLASS")
    argument = rest if colon else None
    if head in _registered[kind]:
        target = _registered[kind][head]
        return Resolved(name, target, argument, source_hash(sys.modules[target.__module__]))
    entry = _entry_points(kind).get(head)
    if entry is None:
        raise UsageError(unknown(KINDS[kind], name, names(kind)))
    target = _import(kind, entry)
    if isinstance(target, type) and issubclass(target, Prefix):
        return target().find(name, rest) if rest else Resolved(name, target, None, None)
    source = None if _is_builtin(entry) else source_hash(sys.modules[entry.module])
    return Resolved(name, target, argument, source)


def object_in_file(name: str) -> Resolved:
    """Return the object that ``FILE.py:NAME`` names.

    Raises:
        UsageError: There is no such file or object, or the file fails to import.
    """
    head, _, rest = name.rpartition(":")
    if not rest:
        raise UsageError(f"{name!r} names a file alone; write {name}CLASS")
    module = load_file(Path(head))
    if not hasattr(module, rest):
        raise UsageError(unknown(f"object in {head}", rest, classes_of(module)))
    return Resolved(name, getattr(module, rest), None, source_hash(module))


def check_class(found: Resolved, kind: str, bases: tuple[type, ...]) -> None:
    """Refuse what is no class of its kind, or lacks a method.

    Raises:
        UsageError: Says where it is defined, of a plug-in.
    """
    target = found.target
    if not (isinstance(target, type) and issubclass(target, bases)):
        raise UsageError(
            f"{kind} {found.name!r} is not a subclass of clbench.{bases[0].__name__}{defined_at(target)}"
        )
    if isabstract(target):
        missing = ", ".join(sorted(getattr(target, "__abstractmethods__")))  # noqa: B009
        raise UsageError(f"{kind} {found.name!r} does not define {missing}{defined_at(target)}")


def check_parameters(found: Resolved, kind: str, attribute: str, base: type) -> None:
    """Refuse a class whose ``Parameters`` or ``Options`` are something else.

    Raises:
        UsageError: Says where the class is defined, of a plug-in.
    """
    given = getattr(found.target, attribute)
    if not (isinstance(given, type) and issubclass(given, base)):
        raise UsageError(
            f"{kind} {found.name!r}: {attribute} must be a subclass of {base.__module__}.{base.__name__},"
            f" not {getattr(given, '__qualname__', given)!r}{defined_at(found.target)}"
        )


def _import(kind: str, entry: EntryPoint) -> Any:
    if not _is_builtin(entry):
        is_plugin_module(entry.module)
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # a plug-in may fail in any way; the others must not
        raise UsageError(
            f"{KINDS[kind]} {entry.name!r} cannot be imported from {entry.value}: {raised(error)}"
        ) from error
