"""The base split: training images of classes that are in no experience, for learning before the stream.

Meta-learners are trained on it, every other strategy gets it too: `clbench.strategy.Strategy.pretrain`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from clbench.experience import Experience, StreamInfo
from clbench.seeds import numpy_generator
from clbench.stream import Stream


@dataclass(frozen=True)
class Base(Experience):
    """All training data of the base classes: the one experience of a stream of its own."""

    info: StreamInfo
    """Of that stream: B units, one experience, no task id, never online. The rest is as in the stream that follows."""


def base_of(stream: Stream) -> Base | None:
    """Return the base split of a stream, None where it has none; the stream keeps no reference to it."""
    if stream.plan.base is None:
        return None
    x, y = stream.gather(stream.plan.base)
    info = replace(
        stream.info,
        classes=stream.info.base_classes,
        experiences=1,
        tells_task=False,
        shares_labels=False,
        boundaries=True,
        online=False,
        base_classes=0,
    )
    priority = torch.from_numpy(numpy_generator(info.seeds.memory, "base", 1).random(len(y)))
    if info.device.type == "mps":  # it has no float64
        priority = priority.float()
    return Base(
        index=0,
        task=None,
        x=x,
        y=y,
        mask=torch.ones(info.classes, dtype=torch.bool, device=info.device),
        group=y,
        priority=priority.to(info.device),
        info=info,
    )
