"""Installing a package for a test, without the network and outside this environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


def install(package: Path, scratch: Path) -> Path:
    """Return a folder into which a package was installed; to be put on ``PYTHONPATH``.

    Skips the test where there is no installer, or no setuptools to build with (torch brings it along as a rule).
    """
    if find_spec("setuptools") is None:
        pytest.skip("the build back end, setuptools, is not installed here")
    command = installer()
    if command is None:
        pytest.skip("neither uv nor pip is here to install a package with")
    copy, target = scratch / "copy", scratch / "installed"
    shutil.copytree(package, copy)  # setuptools leaves its traces beside what it builds
    command += ["--no-deps", "--no-build-isolation", "--target", str(target), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def installer() -> list[str] | None:
    """Return the beginning of an ``install`` command, offline."""
    uv = os.environ.get("UV") or shutil.which("uv")  # `uv run` says where it is
    if uv is not None:
        return [uv, "pip", "install", "--offline", "--python", sys.executable]
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--no-index"]
    return None
