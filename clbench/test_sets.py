"""Test sets: what the evaluator asks, chunk by chunk, wherever the images lie (`clbench.residence`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from clbench.residence import Hosted, Images
from clbench.scenario import Indices, Task
from clbench.shifts import Shift


@dataclass(frozen=True)
class TestSet:
    """The union of the tasks' test sets, for one evaluation."""

    __test__ = False  # not a pytest class

    images: ImageSet
    y: Tensor
    task: Tensor
    """[N] int64, the task of each sample, for scoring; handed to `predict` only where it is told."""

    @property
    def x(self) -> Tensor:
        """[N, C, H, W] all images at once."""
        return self.images.whole()

    def at(self, rows: Indices) -> TestSet:
        """Return some of the samples."""
        keep = torch.as_tensor(rows, device=self.y.device)
        return TestSet(self.images.at(rows), self.y[keep], self.task[keep])

    def chunks(self, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield images, units and tasks of so many samples at a time; the images are copies."""
        return zip(
            self.images.chunks(size),
            torch.split(self.y, size),
            torch.split(self.task, size),
            strict=False,  # of no samples, `split` makes one piece
        )


class ImageSet(Protocol):
    """The images of a test set, to be asked about."""

    def at(self, rows: Indices) -> ImageSet:
        """Return those at ``rows``."""

    def whole(self) -> Tensor:
        """Return all of them on the device."""

    def chunks(self, size: int) -> Iterator[Tensor]:
        """Yield copies of so many at a time, on the device."""


@dataclass(frozen=True)
class ResidentSet:
    """Test images that lie on the device."""

    x: Tensor

    def at(self, rows: Indices) -> ResidentSet:
        """Return those at ``rows``."""
        return ResidentSet(self.x[torch.as_tensor(rows, device=self.x.device)])

    def whole(self) -> Tensor:
        """Return all of them."""
        return self.x

    def chunks(self, size: int) -> Iterator[Tensor]:
        """Yield copies of so many at a time."""
        for start in range(0, len(self.x), size):
            yield self.x[start : start + size].clone()


@dataclass(frozen=True)
class HostedSet:
    """Test images that lie on the host, unshifted; the next chunk is fetched while one is asked about."""

    images: Hosted
    rows: Indices
    """[N] of the split."""
    tasks: Indices
    """[N]."""
    shifts: Sequence[Shift]
    """By task."""

    def at(self, rows: Indices) -> HostedSet:
        """Return those at ``rows``."""
        return replace(self, rows=self.rows[rows], tasks=self.tasks[rows])

    def whole(self) -> Tensor:
        """Return all of them on the device."""
        return self._shifted(self.images.take(self.rows), self.tasks)

    def chunks(self, size: int) -> Iterator[Tensor]:
        """Yield copies of so many at a time, on the device."""
        starts = range(0, len(self.rows), size)
        parts = [self.rows[start : start + size] for start in starts]
        for start, part, then in zip(starts, parts, [*parts[1:], None], strict=False):
            yield self._shifted(self.images.take(part, then), self.tasks[start : start + size])

    def _shifted(self, x: Tensor, tasks: Indices) -> Tensor:
        """Change images [n, C, H, W] as their tasks do."""
        for task in np.unique(tasks):
            if type(self.shifts[task]) is not Shift:  # which leaves them as they are
                at = torch.as_tensor(np.flatnonzero(tasks == task), device=x.device)
                x[at] = self.shifts[task].apply(x[at])
        return x


def union(images: Images, tasks: Sequence[Task], order: Indices, task_of: Indices) -> ImageSet:
    """Return the test images of all tasks as one set.

    Args:
        images: Of the split that the tasks' test positions point into.
        tasks: Of the plan.
        order: [N] where each sample of the set stands in the tasks' test sets, one after the other.
        task_of: [N] the task of each sample of the set.
    """
    if isinstance(images, Hosted):
        rows = np.concatenate([task.test for task in tasks])[order]
        return HostedSet(images, rows, task_of, [task.shift for task in tasks])
    whole = torch.cat([task.shift.apply(images.take(task.test)) for task in tasks])
    return ResidentSet(whole).at(order)
