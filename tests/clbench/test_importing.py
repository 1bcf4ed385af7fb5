"""What a run imports, and how: seconds of every start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from clbench.specify import dataset_of

RUN = """
import gc, sys
from clbench.cli import main

run = ["run", "-q", "--scenario", "class-incremental", "--strategy", "finetune", "-sepochs=1"]
assert main([*run, "-Ssamples=40", "--results", sys.argv[1]]) == 0
assert gc.isenabled()
print(gc.get_freeze_count())
print({"pandas", "scipy", "sklearn", "seaborn", "avalanche"} & set(sys.modules))
"""


def test_a_run_imports_little_and_the_collector_leaves_torch_alone(tmp_path: Path) -> None:
    dataset_of("digits", None)  # scikit-learn reads them, once; then a cache does
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *_, frozen, heavy = done.stdout.splitlines()
    assert int(frozen) > 100_000
    assert heavy == "set()"
