"""A synthetic stream of 1,000 experiences, 1 M samples and 10,000 classes: seconds and memory of each experience.

`replay` with a balanced memory learns it; images are 8×8 noise around a prototype of their class. Learning (memory
included) and evaluation are timed apart: a row of the matrix asks all test sets so far, so that the cost of rows
grows with the stream by definition, and there is one test sample of each class only. The figure is the time of
learning an experience at the end of the stream over that near its beginning, with the head masked to classes seen.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np

from clbench.dataset import Arrays, Dataset, assemble
from clbench.evaluator import Outcome, Row, run_stream
from clbench.seeds import Seeds
from clbench.specify import make_stream, scenario_class, strategy_class
from clbench.stream import Stream
from tests.benchmarks import row
from tests.benchmarks.measure import Figure, Settings, forget_peak, peak_bytes

HYPER = {
    "hidden": [64],
    "batch_size": 128,
    "replay_batch_size": 128,
    "epochs": 1,
    "memory_size": 20_000,
}


def measure(settings: Settings) -> Figure:
    """Return the median seconds of a late experience over those of an early one."""
    experiences = 20 if settings.quick else 1000
    per_class = 20 if settings.quick else 100
    forget_peak()
    begun, before = time.perf_counter(), _mebibytes()
    stream = _stream(experiences, 10, per_class)
    built = time.perf_counter() - begun
    watch = _Watch()
    kind, _ = strategy_class("replay")
    learner = kind(kind.Parameters.parse(HYPER, "replay"))
    learner.setup(stream.info)
    run_stream(stream, learner, watch.outcome, watch)
    curve, window = watch.curve, max(1, experiences // 10)
    early, late = curve[window : 2 * window], curve[-window:]
    ratio, evaluation = (
        median(p[key] for p in late) / median(p[key] for p in early)
        for key in ("learn", "evaluate")
    )
    note = (
        f"{median(p['learn'] for p in late) * 1e3:.0f} ms an experience; a row of the matrix"
        f" {median(p['evaluate'] for p in late) * 1e3:.0f} ms ({evaluation:.1f}× the early ones);"
        f" {before} MiB before, peak {curve[window]['peak']} early, {curve[-1]['peak']} at the end;"
        f" stream built in {built:.0f} s"
    )
    shown = curve[:: max(1, experiences // 50)]
    return Figure(ratio, ratio, ratio, note, {"curve": [*shown, curve[-1]], "built": built})


class _Watch:
    """Notes seconds and peak memory after each experience."""

    def __init__(self) -> None:
        self.outcome, self.curve = Outcome(), []  # type: tuple[Outcome, list[dict[str, Any]]]
        self._before = (0.0, 0.0)

    def step(self) -> None:
        pass

    def trained(self, episodes: int, of: int, accuracy: float | None) -> None:
        pass

    def experience(self, learnt: int, of: int, row: Row) -> None:
        now = self.outcome.train_seconds, self.outcome.eval_seconds
        learn, evaluate = (a - b for a, b in zip(now, self._before, strict=True))
        self._before = now
        if learnt:
            point = {"experience": learnt, "learn": round(learn, 5), "evaluate": round(evaluate, 5)}
            self.curve.append(point | {"peak": _mebibytes()})


def _mebibytes() -> int:
    return (peak_bytes() or 0) // 2**20


def _stream(experiences: int, classes: int, samples: int) -> Stream:
    kind, _ = scenario_class("class-incremental")
    options = kind.Options.parse({"experiences": experiences}, "scenario")
    data = _data(experiences * classes, samples)
    stream = make_stream(kind, options, data, "class-incremental", Seeds.of(0), "cpu", None)
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
