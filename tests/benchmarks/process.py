"""`clbench run` as a user starts it: its start, and two workers.

`start`: the whole process of fine-tuning on digits, against a process that imports torch and NumPy and takes the
same steps in a bare loop (the digits are stored as tensors before).
`jobs`: the same runs with ``--jobs 2`` and ``--jobs 1``, whole processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.benchmarks.measure import Figure, NotRun, Settings, alternate
from tests.benchmarks.row import Goal, Row
from tests.benchmarks.split import specified

ROOT = Path(__file__).resolve().parents[2]
RUN = ("run", "-q", "--scenario", "class-incremental", "--strategy", "finetune")
BARE = """
import sys
import numpy
import torch
from safetensors.torch import load_file
from torch import nn
torch.set_num_threads(1)
data = load_file(sys.argv[1])
network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.Adam(network.parameters(), lr=0.001, fused=True)
x, y = data["x_train"].float() / 255, data["y_train"]
test, labels = data["x_test"].float() / 255, data["y_test"]
for classes in torch.arange(10).view(5, 2):
    own = torch.isin(y, classes)
    images, targets = x[own], y[own]
    for _ in range(EPOCHS):
        for at in torch.randperm(len(targets)).split(32):
            nn.functional.cross_entropy(network(images[at]), targets[at]).backward()
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        float((network(test).argmax(1) == labels).float().mean())
"""


def start(settings: Settings) -> Figure:
    """Return how many seconds more ``clbench run`` takes."""
    epochs = 1 if settings.quick else 10
    with tempfile.TemporaryDirectory() as folder:
        data = _stored_digits(Path(folder))
        script = BARE.replace("EPOCHS", str(epochs))
        bare = _process([sys.executable, "-c", script, str(data)])
        ours = _clbench(folder, *RUN, "-s", f"epochs={epochs}")
        compared = alternate(ours, bare, settings.repeats)
    more = [a - b for a, b in compared.wall]
    first, second = (median(side) for side in zip(*compared.wall, strict=True))
    busy = [median(side) for side in zip(*compared.processor, strict=True)]
    note = f"{first:.2f} and {second:.2f} s; of processor time {busy[0]:.2f} and {busy[1]:.2f}"
    details = {"pairs": compared.wall, "processor": compared.processor}
    return Figure(first - second, min(more), max(more), note, details)


def jobs(settings: Settings) -> Figure:
    """Return the time with one worker over that with two."""
    if (os.cpu_count() or 1) < 2:
        raise NotRun("one core")
    seeds, epochs = (2, 1) if settings.quick else (10, 5)
    dataset = "digits" if settings.quick else "mnist"
    specified(dataset=dataset, scenario="class-incremental", strategy="finetune")
    more = ("--dataset", dataset, "--seeds", f"0-{seeds - 1}", "-s", f"epochs={epochs}")
    with tempfile.TemporaryDirectory() as folder:
        one, two = (_clbench(folder, *RUN, *more, "--jobs", str(n)) for n in (1, 2))
        compared = alternate(one, two, 1 if settings.quick else min(3, settings.repeats))
    figure = compared.figure(f"{seeds} runs, whole processes")
    del figure.details["processor_ratio"]  # which knows nothing of forked workers
    return figure


def _clbench(folder: str, *arguments: str) -> Callable[[], Callable[[], None]]:
    """Return ``clbench …`` into a new results folder each time."""

    def ready() -> Callable[[], None]:
        results = tempfile.mkdtemp(dir=folder)
        command = [sys.executable, "-P", "-m", "clbench", *arguments, "--results", results]
        return _process(command)()

    return ready


def _process(command: list[str]) -> Callable[[], Callable[[], None]]:
    def run() -> None:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)

    return lambda: run


def _stored_digits(folder: Path) -> Path:
    from safetensors.torch import save_file

    from clbench.specify import dataset_of

    data = dataset_of("digits", None)
    path = folder / "digits.safetensors"
    names = ("x_train", "y_train", "x_test", "y_test")
    save_file({name: getattr(data, name) for name in names}, path)
    return path


ROWS = (
    Row(
        name="start",
        what="`clbench run`, digits, fine-tuning, whole process",
        against="importing torch and NumPy + its training in a bare loop",
        goal=Goal(1.0, unit=" s more"),
        measure=start,
    ),
    Row(
        name="jobs",
        what="`--jobs 2`, throughput of ten seeds on MNIST, two cores",
        against="one after the other",
        goal=Goal(1.7, at_least=True),
        measure=jobs,
    ),
)
