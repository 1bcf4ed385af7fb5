"""Batches of many learners, gathered at once: where each draws rows of its experience and nothing else.

Ten learners that gather their batches each for itself launch ten times as many kernels as one; a stack of them
(`clbench.together`) asks for its rows once instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from clbench.experience import Experience
from clbench.gradient import Batch, GradientStrategy, labelled

_OURS = ("batch", "draw", "noisy", "parts", "training")


class Drawn:
    """A batch that is gathered when somebody looks into it."""

    def __init__(self, learner: GradientStrategy, current: Experience, rows: Tensor) -> None:
        self.learner, self.current, self.rows = learner, current, rows

    @cached_property
    def batch(self) -> Batch:
        """What the learner would have drawn."""
        batch: Batch = type(self.learner).draw(self.learner, self.current, self.rows)
        return batch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice) -> Batch:
        """Return a batch of some of the samples."""
        return self.batch[rows]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.batch, name)


@contextmanager
def drawing_late(learners: Sequence[GradientStrategy]) -> Iterator[None]:
    """Let learners draw a `Drawn` each where that pays, if all draw rows of their experience and nothing else."""
    late = pays(learners[0].info.device) and all(map(_draws_rows, learners))
    for learner in learners if late else ():
        learner.draw = partial(Drawn, learner)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for learner in learners if late else ():
            del learner.draw


def pays(device: torch.device) -> bool:
    """Return whether to put experiences together costs less than launches do; a CPU has none."""
    return device.type != "cpu"


def _draws_rows(learner: GradientStrategy) -> bool:
    kind, noise = type(learner), getattr(learner.parameters, "noise", 0.0)
    return not noise and all(getattr(kind, n) is getattr(GradientStrategy, n) for n in _OURS)


class JointDraws:
    """The experiences that S learners are at, as one.

    Args:
        drawn: A batch of each, by the learner's number.
    """

    def __init__(self, drawn: Mapping[int, Drawn]) -> None:
        self._currents = {index: batch.current for index, batch in drawn.items()}
        currents, learners = self._currents.values(), [b.learner for b in drawn.values()]
        self._x, self._group = (
            torch.cat([getattr(c, name) for c in currents]) for name in ("x", "group")
        )
        lengths = [len(current) for current in currents]
        for current, x in zip(currents, torch.split(self._x, lengths), strict=True):
            current.x.data = x  # or there would be two of each
        self._masks = torch.stack([learner.masks for learner in learners])
        self._info = learners[0].info
        begins = torch.tensor([0, *lengths[:-1]], device=self._x.device).cumsum(0)
        self._begin = dict(zip(drawn, begins[:, None].unbind(), strict=True))
        self._place = {index: place for place, index in enumerate(drawn)}
        self._all = list(drawn), begins[:, None]

    def holds(self, drawn: Mapping[int, Drawn]) -> bool:
        """Return whether it has the experiences that these are drawn from."""
        return all(self._currents.get(i) is batch.current for i, batch in drawn.items())

    def lesson(self, numbers: Sequence[int], drawn: Sequence[Drawn]) -> Batch:
        """Return batches of equal length, those of learners with these numbers, as one: x [S, B, c, H, W]."""
        every, begins = self._all
        masks = self._masks
        if list(numbers) != every:
            begins = torch.stack([self._begin[number] for number in numbers])
            masks = torch.stack([masks[self._place[number]] for number in numbers])
        rows = (torch.stack([batch.rows for batch in drawn]) + begins).flatten()
        shape = len(drawn), len(drawn[0])
        x, group = (t.index_select(0, rows) for t in (self._x, self._group))
        return labelled(x.view(*shape, *x.shape[1:]), group.view(shape), masks, self._info)
