"""A training episode of MetaNet, against its own first version, which git has (`FIRST`).

Either version is a process of its own. An episode has 10 ways (5 in the first experience), 2 shots, 20 queries of
each; hidden layers 64-64; the test answers from 200 exemplars. The first version paired each support sample (200 when
it answered), today's draws 20 pairs. Draws differ between the two, so their numbers cannot be made to agree.
Images decide what an episode takes: MNIST's 784 inputs have a background, of the 64 of digits half are grey.
The arithmetic floor is the operations of an episode's matrix products over the rate of a large product.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from tests.benchmarks.measure import Figure, NotRun, Settings
from tests.benchmarks.row import Goal, Row
from tests.benchmarks.split import specified

FIRST = "1dbc2480171592a48bdad9b49f8544a7cf738ba2"
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("episode.py")


def measure(dataset: str, settings: Settings) -> Figure:
    """Return the first version's processor time for a training episode over today's."""
    dataset = "digits" if settings.quick else dataset
    specified(dataset=dataset, scenario="class-incremental", strategy="metanet")
    with tempfile.TemporaryDirectory() as folder:
        _unpack_first(Path(folder))
        request = _request(dataset, settings)
        pairs = [
            (_seconds(Path(folder), request), _seconds(ROOT, request | {"count": last}))
            for last in [False] * (settings.repeats - 1) + [True]
        ]
    operations = pairs[-1][1].pop("operations")
    first, ours = (
        {key: median(pair[side][key] for pair in pairs) for key in pairs[0][side]}
        for side in (0, 1)
    )
    share = operations / _rate() / ours["learn"]
    ratios = [a["learn"] / b["learn"] for a, b in pairs]
    note = (
        f"{ours['learn'] * 1e3:.1f} ms an episode, {share:.0%} of it the arithmetic floor;"
        f" at test, the memory is built {first['rebuild'] / ours['rebuild']:.1f}× faster,"
        f" an answer {first['answer'] / ours['answer']:.1f}×"
    )
    details = {"first": first, "ours": ours, "operations": operations, "share_of_floor": share}
    return Figure(first["learn"] / ours["learn"], min(ratios), max(ratios), note, details)


def _request(dataset: str, settings: Settings) -> dict[str, Any]:
    quick = settings.quick
    return {
        "dataset": dataset,
        "scenario": "class-incremental",
        "strategy": "metanet",
        "options": {"experiences": 2, "samples": 100 if quick else 500},
        "hyper_parameters": {
            "hidden": [8, 8] if quick else [64, 64],
            "episodes": 3 if quick else 30,
            "ways": 10,
            "shots": 2,
            "queries": 20,
            "pairs": 20,
            "memory_size": 20 if quick else 200,
        },
        "count": False,
    }


def _unpack_first(folder: Path) -> None:
    """Unpack the first version.

    Raises:
        NotRun: It is not in this checkout's history.
    """
    parts = ["clbench", "scenarios", "strategies", "pyproject.toml"]
    try:
        done = subprocess.run(
            ["git", "archive", FIRST, *parts], cwd=ROOT, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotRun(f"commit {FIRST[:12]} is not in the history here") from error
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def _seconds(tree: Path, request: dict[str, Any]) -> dict[str, float]:
    """Return what the script measures with the clbench of a tree."""
    done = subprocess.run(
        [sys.executable, "-P", str(SCRIPT), json.dumps(request)],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _rate() -> float:
    """Return the operations a second of a large matrix product."""
    a, seconds = torch.rand(1024, 1024), []
    for _ in range(5):
        begun = time.process_time()
        a @ a
        seconds.append(time.process_time() - begun)
    return 2 * 1024**3 / min(seconds)


ROWS = tuple(
    Row(
        name=name,
        what=f"metanet, a training episode on {images} (MLP; 200 exemplars at test)",
        against="its own first version",
        goal=Goal(3.0, at_least=True, unit="× faster"),
        measure=partial(measure, dataset),
    )
    for name, dataset, images in (
        ("metanet", "mnist", "MNIST"),
        ("metanet-digits", "digits", "digits, 8×8"),
    )
)
