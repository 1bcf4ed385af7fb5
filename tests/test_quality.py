"""Style, types and packaging are tests, so that `pytest` is the whole gate."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from clbench.cli import main

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "clbench": "clbench",
    "results/configs": "clbench.configs",
    "scenarios": "clbench.scenarios",
    "strategies": "clbench.strategies",
}


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the files that `clbench new` writes."""
    monkeypatch.chdir(tmp_path)
    for kind in ("strategy", "scenario", "dataset"):
        assert main(["new", kind, f"my-{kind}"]) == 0
    return [str(file) for file in tmp_path.glob("*.py")]


def test_mypy_is_content(new: list[str]) -> None:
    """Once for all, what `clbench new` writes among it: a cache serves one set of options."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    command = [sys.executable, "-m", "mypy", *project["tool"]["mypy"]["files"], *new]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."]],
    ids=["ruff-check", "ruff-format"],
)
def test_tool_is_content(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_listed() -> None:
    """An unlisted sub-package would be absent from the wheel without a word."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found = {
        ".".join([PACKAGES[top], *path.parent.relative_to(ROOT / top).parts])
        for top in PACKAGES
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == found


def test_a_wheel_holds_every_module_and_configuration(tmp_path: Path) -> None:
    """Built from a copy of the tracked files, since setuptools would leave its traces in the tree."""
    pytest.importorskip("setuptools", reason="the build back end is not installed here")
    places = {
        file.relative_to(ROOT): Path(*package.split("."), file.relative_to(ROOT / folder))
        for folder, package in PACKAGES.items()
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".py", ".toml", ".typed", ".html", ".css", ".js", ".template")
    }
    for name in [*places, *map(Path, ("pyproject.toml", "README.md", "LICENSE"))]:
        copy = tmp_path / "tree" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    code = "from setuptools import build_meta; build_meta.build_wheel('..')"
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=tmp_path / "tree", capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert {str(place) for place in places.values()} <= set(zipfile.ZipFile(wheel).namelist())


def test_methods_and_scenarios_do_not_import_their_neighbours() -> None:
    for folder in ("scenarios", "strategies"):
        for path in (ROOT / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                for name in names:
                    assert not name.startswith(("clbench.strategies", "clbench.scenarios")), path


def test_no_registry_address_is_committed() -> None:
    listed = subprocess.run(
        ["git", "grep", "-lIE", r"pypi\.org|pythonhosted\.org|registry\.npmjs", "--", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    assert listed in ([], ["tests/test_quality.py"])
