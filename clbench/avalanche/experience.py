"""Our experiences as Avalanche's: a dataset of normalised images, with targets and task labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from avalanche.benchmarks.scenarios import DatasetExperience
from avalanche.benchmarks.utils import (
    DataAttribute,
    TaskAwareSupervisedClassificationDataset,
    TaskLabels,
)
from avalanche.benchmarks.utils.flat_data import ConstantSequence
from torch import Tensor
from torch.utils.data import TensorDataset

from clbench.experience import Experience, StreamInfo


class _IntegerLabels(TensorDataset):
    """Images with labels that are plain integers, as Avalanche's own datasets have them."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:  # type: ignore[override]
        x, y = self.tensors
        return x[index], int(y[index])


def avalanche_dataset(x: Tensor, y: Tensor, task: int) -> Any:
    """Return images [N, C, H, W] (float) and labels [N] as an ``AvalancheDataset``.

    It lies in main memory: Avalanche reads it sample by sample and moves whole batches to the device.

    Args:
        x: Normalised images.
        y: Their output units.
        task: The task label of all of them.
    """
    x, y = x.cpu(), y.cpu()
    labels = DataAttribute(y.tolist(), "targets")
    tasks = TaskLabels(ConstantSequence(task, len(y)))
    return TaskAwareSupervisedClassificationDataset(
        [_IntegerLabels(x, y)], data_attributes=[labels, tasks]
    )


class TheirExperience(DatasetExperience):  # type: ignore[misc]
    """An experience with all that Avalanche's strategies ask one for."""

    def __init__(self, dataset: Any, index: int, task: int, stream: Any) -> None:
        super().__init__(dataset=dataset, current_experience=index)
        self.task_label, self.task_labels = task, [task]
        self.origin_stream = stream


@dataclass
class Classes:
    """Which classes an Avalanche strategy has met, as it is told of them."""

    total: int
    """C, output units of the whole stream."""
    of: list[list[int]] = field(default_factory=list)
    """The classes of each experience so far."""

    def tell(self, experience: Any, now: Sequence[int]) -> None:
        """Note the classes of the next experience and tell them to it.

        What is still to come is told as one experience, as a strategy knows the number of units and no more.
        """
        before = {c for classes in self.of for c in classes}
        self.of.append(list(now))
        seen = before | set(now)
        rest = [c for c in range(self.total) if c not in seen]
        experience.classes_in_this_experience = list(now)
        experience.previous_classes = sorted(before)
        experience.classes_seen_so_far = sorted(seen)
        experience.future_classes = rest
        experience.benchmark = SimpleNamespace(
            n_classes=self.total,
            n_classes_per_exp=[len(classes) for classes in [*self.of, rest]],
            classes_order=[c for classes in [*self.of, rest] for c in classes],
        )


def their_experience(experience: Experience, info: StreamInfo, classes: Classes) -> TheirExperience:
    """Return an experience as Avalanche's strategies take it; the task label is 0 where the id is hidden."""
    task, index = experience.task or 0, experience.index or 0
    dataset = avalanche_dataset(info.normalise(experience.x), experience.y, task)
    found = TheirExperience(dataset, index, task, SimpleNamespace(name="train"))
    classes.tell(found, torch.unique(experience.y).tolist())
    return found
