"""Every block of docs/python.md runs, in order, as in a notebook."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = """
import linecache, sys
for number, path in enumerate(sys.argv[1:]):
    source, cell = open(path, encoding="utf-8").read(), f"<cell {number}>"
    linecache.cache[cell] = (len(source), None, source.splitlines(keepends=True), cell)
    exec(compile(source, cell, "exec"), globals())
"""


def test_every_block_of_the_tutorial_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "python.md").read_text("utf-8")
    blocks = re.findall(
        r'^```python(?: title="([^"]+)")?\n(.*?)^```$', text, re.DOTALL | re.MULTILINE
    )
    assert len(blocks) == text.count("```python") > 5
    cells = []
    for number, (title, source) in enumerate(blocks):
        (tmp_path / (title or f"{number}.cell")).write_text(source, "utf-8")
        cells += [] if title else [f"{number}.cell"]
    reference = Path("results/reference/digits")
    shutil.copytree(ROOT / reference, tmp_path / reference)
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, *cells],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "CLBENCH_DEVICE": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("*.pdf")} == {"accuracy.pdf", "matrix.pdf"}
    assert "__main__:EvenThenOdd on digits" in done.stdout
    last = done.stdout.partition("Difference to replay")[2]
    assert "smooth.py:SmoothReplay" in last
    assert "metanet" in last
