"""Importing Avalanche: late, and with a home folder that it can write."""

from __future__ import annotations

import logging
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from clbench.avalanche.importing import _writable_home


def settings() -> dict[str, object]:
    """Run the module of Avalanche that writes into the home folder, alone."""
    spec = find_spec("avalanche")
    assert spec is not None
    assert spec.origin is not None
    return runpy.run_path(
        str(Path(spec.origin).parent / "benchmarks" / "datasets" / "dataset_utils.py")
    )


def test_a_home_that_cannot_be_written_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "home"
    home.write_text("a file, no folder")
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(OSError, match="Not a directory"):
        settings()
    with caplog.at_level(logging.WARNING), _writable_home():
        found = settings()
        inside = Path("~").expanduser()
    assert found["AVALANCHE_CONFIG"]
    assert f"{home} cannot be written (Not a directory)" in caplog.text
    assert "Set HOME to a folder that can be written to" in caplog.text
    assert inside != home
    assert not inside.exists()
    assert Path("~").expanduser() == home


def test_a_home_that_can_be_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with _writable_home():
        assert Path("~").expanduser() == tmp_path
        settings()
    with _writable_home():
        assert settings()["AVALANCHE_CONFIG"]
    assert not caplog.text


def test_nothing_else_imports_it() -> None:
    code = (
        "import sys; from clbench.cli import main;"
        "main(['list']); main(['run', '--scenario', 'class-incremental', '--strategy', 'finetune',"
        " '--dry-run']); sys.exit('avalanche' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "avalanche:NAME" in done.stdout
