"""docs/plug-in.md, done as it says: every file written, every edit made, every command run, in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installing import install

GUIDE = Path(__file__).resolve().parent.parent / "docs/plug-in.md"
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALL = "uv pip install ./"


def edit(file: Path, change: str) -> None:
    """Put the lines with a plus in the place of those with a minus."""
    lines = change.splitlines(keepends=True)
    before, after = ("".join(x[1:] for x in lines if x[0] in " " + sign) for sign in "-+")
    text = file.read_text("utf-8")
    assert text.count(before) == 1, f"{file.name} does not hold, once: {before}"
    file.write_text(text.replace(before, after), "utf-8")


def run(command: str, folder: Path) -> None:
    """Run a line of the shell where the guide is followed; installing goes into a folder of its own."""
    if command.startswith(INSTALL):
        install(folder / command.removeprefix(INSTALL), folder / "scratch")
        return
    tools = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([tools, os.environ["PATH"]]),
        "PYTHONPATH": str(folder / "scratch/installed"),
        "CLBENCH_RESULTS": "results",
    }
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.skipif(os.name == "nt", reason="the guide's commands are a POSIX shell's")
def test_the_guide_works_as_it_is_written(tmp_path: Path) -> None:
    blocks = BLOCK.findall(GUIDE.read_text("utf-8"))
    assert {kind for kind, _, _ in blocks} == {"sh", "diff", "toml"}
    for kind, name, text in blocks:
        if kind == "sh":
            for command in text.splitlines():
                run(command, tmp_path)
        elif kind == "diff":
            edit(tmp_path / name, text)
        else:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text, "utf-8")
    report = (tmp_path / "report.html").read_text("utf-8")
    assert all(name in report for name in ("my_method.py:MyMethod", "replay", "finetune"))
    assert list((tmp_path / "results/my-data/my-stream").glob("my-method/*.json"))
