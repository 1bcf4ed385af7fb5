"""Finding and reading configuration files: those shipped with clbench, by name, and a user's own, by path."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from clbench.errors import UsageError, unknown

_SUFFIX = ".toml"


def shipped() -> dict[str, Traversable]:
    """Return the configurations that come with clbench, by name, sorted."""
    found = {
        file.name.removesuffix(_SUFFIX): file
        for file in files("clbench.configs").iterdir()
        if file.name.endswith(_SUFFIX)
    }
    return dict(sorted(found.items()))


def summary(name: str) -> str:
    """Return the description of a shipped configuration."""
    return str(read(name).get("description", ""))


def source(name: str) -> str:
    """Return the text of a configuration.

    Args:
        name: A path if it has a separator or ends in ``.toml``, else the name of a shipped one.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    is_path = name.endswith(_SUFFIX) or Path(name).name != name
    file = Path(name).expanduser() if is_path else shipped().get(name)
    if file is None:
        hint = f" A file of your own ends in {_SUFFIX} or is named with its folder."
        raise UsageError(unknown("configuration", name, shipped()) + hint)
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"configuration {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"configuration {name} is not a text file in UTF-8") from None


def read(name: str) -> dict[str, Any]:
    """Return what a configuration says, not yet checked.

    Raises:
        UsageError: There is none, it cannot be read, or it is not TOML.
    """
    try:
        return tomllib.loads(source(name))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"configuration {name} is not valid TOML: {error}") from None
