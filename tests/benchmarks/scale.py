"""A synthetic stream of 1,000 experiences, 1 M samples and 10,000 classes: seconds and memory of each experience.

`replay` with a balanced memory learns it; images are 8×8 noise around a prototype of their class. The figure is the
time of an experience, its delivery, learning and memory, at the end of the stream over that near its beginning.

A row of the matrix asks the test sets of all classes so far: the cost of a row grows with the stream, and that of all
rows with its square, by definition. So evaluation is timed apart, and here at 20 places only.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np

from clbench.dataset import Arrays, Dataset, assemble
from clbench.scoring import fill_row
from clbench.seeds import Seeds
from clbench.specify import build_stream, scenario_class, strategy_class
from clbench.strategy import Strategy
from clbench.stream import Stream
from tests.benchmarks import row
from tests.benchmarks.measure import Figure, Settings, forget_peak, peak_bytes

HYPER = {
    "hidden": [32],
    "batch_size": 128,
    "replay_batch_size": 32,
    "epochs": 1,
    "memory_size": 20_000,
}


def measure(settings: Settings) -> Figure:
    """Return the median seconds of a late experience over those of an early one."""
    experiences, samples = (20, 20) if settings.quick else (1000, 100)
    begun = time.perf_counter()
    stream = _stream(experiences, 10, samples)
    built = time.perf_counter() - begun
    forget_peak()  # making the data takes more than learning them
    before = _mebibytes()
    kind, _ = strategy_class("replay")
    learner = kind(kind.Parameters.parse(HYPER, "replay"))
    learner.setup(stream.info)
    curve = [_experience(stream, learner, index) for index in range(experiences)]
    tenth = experiences // 10  # the first fills the memory
    early, late = (_middle(part) for part in (curve[2 * tenth : 3 * tenth], curve[-tenth:]))
    rows = [point["evaluate"] for point in curve if point["evaluate"] is not None]
    note = (
        f"{late['learn'] * 1e3:.0f} ms an experience, {late['processor'] * 1e3:.0f} of the"
        f" processor, early {early['processor'] * 1e3:.0f}; a row of the matrix {rows[0] * 1e3:.0f}"
        f" ms at first, {rows[-1] * 1e3:.0f} at last; {before} MiB before, peak"
        f" {curve[3 * tenth]['peak']} early, {curve[-1]['peak']} at the end;"
        f" stream built in {built:.1f} s"
    )
    every = max(1, experiences // 50)
    details = {
        "curve": [point for point in curve if point["experience"] % every in (0, 1)],
        "built": round(built, 2),
        "processor_ratio": late["processor"] / early["processor"],
    }
    ratio = late["learn"] / early["learn"]
    return Figure(ratio, ratio, ratio, note, details)


def _experience(stream: Stream, learner: Strategy, index: int) -> dict[str, Any]:
    """Learn an experience and return what it took, of 20 rows of the matrix too."""
    begun, busy = time.perf_counter(), time.process_time()
    for experience in stream.deliver(index):
        learner.learn(experience)
    point: dict[str, Any] = {
        "experience": index + 1,
        "learn": round(time.perf_counter() - begun, 5),
        "processor": round(time.process_time() - busy, 5),
        "evaluate": None,
    }
    if (index + 1) % (len(stream) // 20) == 0:
        begun = time.perf_counter()
        fill_row(stream, learner, index + 1, [])
        point["evaluate"] = round(time.perf_counter() - begun, 5)
    return point | {"peak": _mebibytes()}


def _middle(points: list[dict[str, Any]]) -> dict[str, float]:
    return {key: median(point[key] for point in points) for key in ("learn", "processor")}


def _mebibytes() -> int:
    return (peak_bytes() or 0) // 2**20


def _stream(experiences: int, classes: int, samples: int) -> Stream:
    kind, _ = scenario_class("class-incremental")
    options = kind.Options.parse({"experiences": experiences}, "scenario")
    data = _data(experiences * classes, samples)
    stream = build_stream(kind, options, data, "class-incremental", Seeds.of(0), "cpu", None)
    assert isinstance(stream, Stream)
    return stream


def _data(classes: int, samples: int) -> Dataset:
    """Return ``samples`` training images of each class and one for the test."""
    generator = np.random.default_rng(0)
    prototypes = generator.integers(0, 200, (classes, 8, 8), dtype=np.uint8)

    def split(count: int) -> tuple[Any, Any]:
        y = np.repeat(np.arange(classes), count)
        noise = generator.integers(0, 56, (len(y), 8, 8), dtype=np.uint8)
        return prototypes[y] + noise, y

    names = tuple(str(label) for label in range(classes))
    return assemble("synthetic", Arrays(*split(samples), *split(1), names))


ROWS = (
    row.Row(
        name="scale",
        what="1,000 experiences, 1 M samples, 10,000 classes: learning one, at the end",
        against="itself near the beginning",
        goal=row.Goal(1.2),
        measure=measure,
    ),
)
