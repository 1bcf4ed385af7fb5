"""What `results/build.py` makes is committed as it makes it.

When one of these fails: ``uv run python results/build.py``, and read the diff.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
BY_HAND = {"digits-splits.md", "scale.json", "speed.md", "validation.md"}
CHOSEN = "chosen-"
"""What `results/choose.py` makes begins so."""


def script(name: str) -> ModuleType:
    """Return a script of the results folder as a module."""
    path = ROOT / "results" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


BUILD = script("build")


@pytest.fixture(scope="module")
def files() -> dict[Path, bytes]:
    return dict(BUILD.files())


@pytest.mark.parametrize("folder", ["tables", "figures"])
def test_nothing_is_left_of_what_is_no_longer_made(folder: str, files: dict[Path, bytes]) -> None:
    present = (ROOT / "results" / folder).iterdir()
    found = {p for p in present if p.name not in BY_HAND and not p.name.startswith(CHOSEN)}
    assert found == {path for path in files if path.parent.name == folder}


def test_no_table_and_no_section_is_stale(files: dict[Path, bytes]) -> None:
    for path, content in files.items():
        if path.suffix == ".md":
            assert path.read_text("utf-8") == content.decode(), f"{path.name} is stale"


def test_no_figure_is_stale(files: dict[Path, bytes]) -> None:
    """Bytes: glyphs are outlines of the font that matplotlib brings, whose version is pinned."""
    for path, content in files.items():
        if path.suffix == ".svg":
            assert path.read_bytes() == content, f"{path.name} is stale"


@pytest.mark.parametrize("name", BUILD.STREAMS)
def test_the_tables_of_the_readme_have_ten_seeds(name: str) -> None:
    lines = dict(BUILD.readme_sections())[name].splitlines()[2:]
    assert len(lines) >= 5
    assert {line.split(" | ")[1] for line in lines} == {"10"}
