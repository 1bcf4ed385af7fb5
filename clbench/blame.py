"""Where in a plug-in's source something went wrong, for messages: ``my_method.py:31``."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clbench.errors import ClbenchError, UsageError

_plugins: set[Path] = set()
"""Files and package folders of the plug-ins that were imported so far."""


def is_plugin_file(path: Path) -> None:
    """Note that a file is a plug-in's."""
    _plugins.add(path.resolve())


def is_users(thing: object) -> None:
    """Note that the file of a class or of a learner is a plug-in's, unless it is clbench's own; a script's, too."""
    kind = thing if isinstance(thing, type) else type(thing)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file and kind.__module__.partition(".")[0] not in ("builtins", "clbench"):
        is_plugin_file(Path(file))


def is_plugin_module(name: str) -> None:
    """Note that a module is a plug-in's, with its whole package; imports nothing."""
    try:
        spec = importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        return
    if spec is not None:
        places = spec.submodule_search_locations or [spec.origin or ""]
        _plugins.update(Path(place).resolve() for place in places if place)


def raised(error: BaseException) -> str:
    """Return the error's type and message, and behind them the last line of a plug-in that it went through."""
    # A syntax error's own words end in a file and a line, which are not always those.
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    if not isinstance(error, ClbenchError):
        said = ": ".join(filter(None, [type(error).__name__, said]))
    place = _place(error)
    return said + (f" ({place})" if place and place not in said else "")


def defined_at(thing: Any) -> str:
    """Return the place in a plug-in where a class or function is defined, as `` (my_method.py:31)``; else nothing."""
    thing = getattr(thing, "__func__", thing)
    try:
        file = inspect.getsourcefile(thing)
        if not file or not _is_plugin(file):
            return ""
        _, line = inspect.getsourcelines(thing)  # of a class it parses the whole file
    except (TypeError, OSError):
        return ""
    return f" ({_short(file)}:{line})"


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Let an error that a plug-in raises end in one sentence that says where.

    Args:
        what: The plug-in, for the sentence.

    Raises:
        UsageError: The plug-in's code raised something that clbench does not know.
    """
    try:
        yield
    except ClbenchError:
        raise
    except (Exception, SystemExit) as error:  # a user's code may fail in any way
        if _place(error) is None:
            raise  # a mistake of ours
        raise UsageError(f"{what} raised {raised(error)}") from error


def _place(error: BaseException) -> str | None:
    """Return the last line of a plug-in that an error went through, None if it went through none."""
    if isinstance(error, SyntaxError) and error.filename and _is_plugin(error.filename):
        return f"{_short(error.filename)}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_plugin(f.filename)]
    return f"{_short(frames[-1].filename)}:{frames[-1].lineno}" if frames else None


def _is_plugin(file: str) -> bool:
    path = Path(file).resolve()
    return any(path == plugin or plugin in path.parents for plugin in _plugins)


def _short(file: str) -> str:
    path = Path(file).resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
