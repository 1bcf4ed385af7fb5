"""Peak memory of a process that trains and evaluates on Split MNIST, against one with the bare loop.

Each side is a process of its own, ``python -m tests.benchmarks.peak SIDE SETTINGS``, which imports the same modules
and reads the data by clbench; the bare loop's images lie ready as float32, clbench's as uint8.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from tests.benchmarks.measure import Figure, NotRun, Settings, peak_bytes
from tests.benchmarks.row import Goal, Row

ROOT = Path(__file__).resolve().parents[2]


def measure(settings: Settings) -> Figure:
    """Return the peak of clbench's process over that of the bare loop's."""
    if peak_bytes() is None:
        raise NotRun("this system does not tell a process its peak")
    pairs = [
        (_peak("clbench", settings.quick), _peak("bare", settings.quick))
        for _ in range(min(settings.repeats, 3))
    ]
    ours, bare = (median(side) for side in zip(*pairs, strict=True))
    ratios = [a / b for a, b in pairs]
    note = f"{ours / 2**20:.0f} MiB, {bare / 2**20:.0f} MiB"
    return Figure(ours / bare, min(ratios), max(ratios), note, {"bytes": pairs})


def _peak(side: str, quick: bool) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.peak", side, json.dumps(quick)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 3:
        raise NotRun(done.stderr.strip())
    if done.returncode:
        raise RuntimeError(done.stderr)
    return int(done.stdout)


def main(side: str, quick: bool) -> None:
    """Do the work of a side and print the peak of this process in bytes."""
    from tests.benchmarks.bare import bare_side
    from tests.benchmarks.split import clbench_side, one_thread, work_of

    one_thread()
    work = work_of(Settings(quick=quick), 128)
    try:
        (clbench_side if side == "clbench" else bare_side)(work)()()
    except NotRun as reason:
        sys.stderr.write(str(reason))
        raise SystemExit(3) from reason
    sys.stdout.write(str(peak_bytes()))


ROWS = (
    Row(
        name="peak",
        what="peak memory, Split MNIST, MLP 400-400",
        against="the bare loop",
        goal=Goal(1.3),
        measure=measure,
    ),
)

if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
