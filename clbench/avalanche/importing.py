"""Importing Avalanche: slow (seconds), noisy, and it writes into the home folder."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clbench.errors import ClbenchError

_log = logging.getLogger(__name__)


def import_avalanche() -> None:
    """Import Avalanche, if that has not been done.

    It writes ``~/.avalanche/config.json`` while it is imported. Where that cannot be done it gets a temporary home
    folder for that moment, and a warning says so.

    Raises:
        ClbenchError: It is not installed, or fails to import; says why.
    """
    if "avalanche" in sys.modules:
        return
    try:
        with warnings.catch_warnings(), _writable_home():
            warnings.simplefilter("ignore")  # of its dependencies, at their import
            import avalanche  # noqa: F401
    except Exception as error:  # of its sixty dependencies any may fail in any way
        raise ClbenchError(
            f"Avalanche cannot be imported ({type(error).__name__}: {error}); strategies and"
            " benchmarks named avalanche:… need avalanche-lib 0.6"
        ) from error


@contextmanager
def _writable_home() -> Iterator[None]:
    """Put a temporary folder in place of a home folder that cannot be written."""
    home = Path("~").expanduser()
    reason = _refusal(home)
    if reason is None:
        yield
        return
    _log.warning(
        "Avalanche writes .avalanche/config.json into the home folder, but %s cannot be written"
        " (%s); a temporary folder stands in while it is imported. Set HOME to a folder that can"
        " be written to end this warning",
        home,
        reason,
    )
    before = {name: os.environ.get(name) for name in ("HOME", "USERPROFILE")}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(dict.fromkeys(before, folder))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _refusal(home: Path) -> str | None:
    """Return why Avalanche's settings cannot be read from or written to the home folder; None if they can."""
    settings = home / ".avalanche" / "config.json"
    try:
        settings.parent.mkdir(parents=True, exist_ok=True)
        with settings.open("r" if settings.exists() else "x"):
            pass
        if not settings.stat().st_size:  # ours, a moment ago
            settings.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None
