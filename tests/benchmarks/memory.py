"""The exemplar memory after 10, 100 and 1,000 experiences: adding an experience and drawing a batch.

Every experience brings two new classes of 100 samples; the memory holds 5,000. The figure is the worse policy's time
after the last experience over that after the first count that fills the memory.
"""

from __future__ import annotations

import time
from statistics import median

import torch

from clbench.experience import Experience, Normalise, StreamInfo
from clbench.memory import Memory, Policy
from clbench.seeds import Seeds
from tests.benchmarks.measure import Figure, Settings
from tests.benchmarks.row import Goal, Row

SAMPLES, CLASSES = 200, 2
"""Of an experience."""


def measure(settings: Settings) -> Figure:
    """Return the time of add and draw after the most experiences over that after the fewest."""
    points = (5, 10, 20) if settings.quick else (10, 100, 1000)
    capacity = SAMPLES * points[0]
    times = {
        policy: _times(policy, points, capacity, settings) for policy in ("reservoir", "balanced")
    }
    ratios = [seconds[-1] / seconds[0] for seconds in times.values()]
    told = "; ".join(
        f"{policy}: " + ", ".join(f"{second * 1e3:.2f}" for second in seconds) + " ms"
        for policy, seconds in times.items()
    )
    return Figure(max(ratios), min(ratios), max(ratios), told, {"seconds": times})


def _times(
    policy: Policy, points: tuple[int, ...], capacity: int, settings: Settings
) -> list[float]:
    """Return the median seconds of adding an experience and drawing, at each point; points take turns."""
    info, generator = _info(points[-1] + 100), torch.Generator().manual_seed(0)
    memories = {point: _filled(policy, point, capacity, info, generator) for point in points}
    found: dict[int, list[float]] = {point: [] for point in points}
    for turn in range(10 * settings.repeats):
        for point, memory in memories.items():
            experience = _experience(point + turn, generator)
            begun = time.process_time()
            memory.add(experience)
            for _ in range(10):
                memory.x[memory.draw(32, generator)]
            found[point].append(time.process_time() - begun)
    return [median(seconds) for seconds in found.values()]


def _filled(
    policy: Policy, experiences: int, capacity: int, info: StreamInfo, generator: torch.Generator
) -> Memory:
    """Return the memory after so many experiences."""
    memory = Memory(capacity, policy, info)
    for index in range(experiences):
        memory.add(_experience(index, generator))
    return memory


def _info(experiences: int) -> StreamInfo:
    one = torch.ones(1, 1, 1)
    return StreamInfo(
        scenario="class-incremental",
        classes=CLASSES * (experiences + 100),
        shape=(1, 28, 28),
        dtype=torch.uint8,
        experiences=experiences,
        tells_task=False,
        shares_labels=False,
        boundaries=True,
        online=False,
        batch_size=10,
        normalise=Normalise(one, one),
        seeds=Seeds.of(0),
        device=torch.device("cpu"),
    )


def _experience(index: int, generator: torch.Generator) -> Experience:
    y = torch.arange(SAMPLES) % CLASSES + CLASSES * index
    x = torch.randint(0, 256, (SAMPLES, 1, 28, 28), dtype=torch.uint8, generator=generator)
    priority = torch.rand(SAMPLES, dtype=torch.float64, generator=generator)
    mask = torch.ones(1, dtype=torch.bool)
    return Experience(index, None, x, y, mask, y, priority)


ROWS = (
    Row(
        name="memory",
        what="memory update and ten draws, at 10, 100, 1,000 experiences",
        against="itself",
        goal=Goal(1.2),
        measure=measure,
    ),
)
