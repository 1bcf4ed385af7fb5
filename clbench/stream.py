"""The stream: experiences for the strategy, test sets for the evaluator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from clbench.dataset import Dataset
from clbench.experience import Experience, Normalise, StreamInfo
from clbench.precision import Precision
from clbench.residence import Hosted, Images, Resident, fits
from clbench.scenario import Indices, Plan, ScenarioOptions, Task
from clbench.seeds import Seeds, numpy_generator
from clbench.test_sets import TestSet, union


class Stream:
    """A plan with its images; the evaluator's view. They are used on a device, and lie there where they fit."""

    def __init__(
        self,
        dataset: Dataset,
        plan: Plan,
        options: ScenarioOptions,
        *,
        scenario: str,
        seeds: Seeds,
        device: torch.device,
        precision: Precision = "float32",
    ) -> None:
        self.plan = plan
        self.options = options
        self._device = device
        self._whole = fits(dataset, device, [*plan.tasks, *([plan.base] if plan.base else [])])
        self._data = dataset.to(device, images=self._whole)
        self._train = self._images(self._data.x_train)
        self._seeds = seeds
        self.info = StreamInfo(
            scenario=scenario,
            classes=plan.units,
            shape=dataset.shape,
            dtype=dataset.x_train.dtype,
            experiences=len(plan.tasks) if options.boundaries else None,
            tells_task=plan.tells_task,
            shares_labels=plan.shares_labels,
            boundaries=options.boundaries,
            online=options.online,
            batch_size=options.batch_size,
            normalise=normalisation(dataset, device),
            seeds=seeds,
            device=device,
            base_classes=len(plan.base.units) if plan.base else 0,
            precision=precision,
        )
        self._priority = torch.from_numpy(
            numpy_generator(seeds.memory, "memory").random(sum(len(t.train) for t in plan.tasks))
        )

    def __len__(self) -> int:
        return len(self.plan.tasks)

    def deliver(self, index: int) -> Iterator[Experience]:
        """Yield experience ``index``: whole, or sample batches without a name if boundaries are hidden."""
        experience = self._experience(index)
        if self.info.boundaries:
            yield experience
            return
        before = [u for task in self.plan.tasks[:index] for u in task.units]
        for start in range(0, len(experience), self.info.batch_size):
            stop = min(start + self.info.batch_size, len(experience))
            part = experience[torch.arange(start, stop, device=self._device)]  # a copy: no view on
            mask = part.mask
            if self.plan.train_mask == "seen":  # only what was delivered may be known
                mask = _units(before, self.info.classes, self._device)
                mask[experience.y[:stop]] = True
            yield replace(part, index=None, mask=mask)

    def gather(self, task: Task, then: Task | None = None) -> tuple[Tensor, Tensor]:
        """Return a copy of a task's training images [N, C, H, W], and their units [N].

        Where images lie on the host, those of the task that will be gathered next can be fetched meanwhile.
        """
        y = self._units_of(task)[self._data.y_train[self._tensor(task.train)]]
        return task.shift.apply(self._train.take(task.train, then.train if then else None)), y

    def _experience(self, index: int) -> Experience:
        x, y = self.gather(*self.plan.tasks[index : index + 2])
        apart = (
            self.plan.tells_task or self.plan.shares_labels
        )  # else a class is one group everywhere
        row = index if self.info.boundaries and apart else 0
        start = sum(len(t.train) for t in self.plan.tasks[:index])
        priority = self._priority[start : start + len(y)].clone()
        if self._device.type == "mps":  # it has no float64
            priority = priority.float()
        return Experience(
            index=index,
            task=index if self.info.tells_task else None,
            x=x,
            y=y,
            mask=self._mask(self.plan.train_mask, index),
            group=y + row * self.info.classes,
            priority=priority.to(self._device),
        )

    def _mask(self, name: str, index: int) -> Tensor:
        tasks = self.plan.tasks
        chosen = {
            "all": range(self.info.classes),
            "seen": [u for task in tasks[: index + 1] for u in task.units],
            "task": tasks[index].units,
        }[name]
        return _units(chosen, self.info.classes, self._device)

    # What follows is for the evaluator alone.

    def test_masks(self, learnt: int) -> Tensor:
        """Return [T, C] bool: the units that compete on each task's test set after ``learnt`` tasks."""
        tasks = range(len(self.plan.tasks))
        if self.plan.test_mask == "seen":
            seen = self._mask("seen", learnt - 1) if learnt else self._mask("all", 0) & False
            return seen.expand(len(tasks), -1)
        return torch.stack([self._mask(self.plan.test_mask, task) for task in tasks])

    def defined_tasks(self, learnt: int) -> int:
        """Return how many tasks have a defined accuracy after ``learnt`` experiences."""
        return learnt if self.plan.test_mask == "seen" else len(self.plan.tasks)

    def test_set(self, tasks: int) -> TestSet:
        """Return the test samples of the first ``tasks`` tasks."""
        if tasks == len(self.plan.tasks):
            return self._test
        return self._test.at(np.flatnonzero(self._test_tasks < tasks))  # a mask would synchronise

    def sampled_test_set(self, tasks: int, samples: int | None) -> TestSet:
        """Return of each of the first ``tasks`` tasks the same ``samples`` test samples (all, if None).

        They are drawn by the order seed, whatever order the data come in.
        """
        if samples is None:
            return self.test_set(tasks)
        drawn = numpy_generator(self._seeds.order, "test_sample").permutation(len(self._test_tasks))
        at = [drawn[self._test_tasks[drawn] == task][:samples] for task in range(tasks)]
        return self._test.at(np.sort(np.concatenate(at)))

    @cached_property
    def test_counts(self) -> list[int]:
        """The number of test samples of each task."""
        return [len(task.test) for task in self.plan.tasks]

    @cached_property
    def _test_order(self) -> Indices:
        """The order of the union of the test sets, mixed and seeded where the task id is hidden."""
        count = sum(self.test_counts)
        if self.info.tells_task:
            return np.arange(count)
        return numpy_generator(self._seeds.order, "test_order").permutation(count)

    @cached_property
    def _test_tasks(self) -> Indices:
        """The task of each test sample in that order, on the host."""
        return np.repeat(np.arange(len(self)), self.test_counts)[self._test_order]

    @cached_property
    def _test(self) -> TestSet:
        """The union of the test sets in that order."""
        split = self._data
        x_split, y_split = (
            (split.x_train, split.y_train) if self.plan.held_out else (split.x_test, split.y_test)
        )
        tasks = self.plan.tasks
        ys = [self._units_of(task)[y_split[self._tensor(task.test)]] for task in tasks]
        order = self._tensor(self._test_order)
        images = union(self._images(x_split), tasks, self._test_order, self._test_tasks)
        return TestSet(images, torch.cat(ys)[order], self._tensor(self._test_tasks))

    def _images(self, x: Tensor) -> Images:
        return Resident(x) if self._whole else Hosted(x, self._device)

    def _units_of(self, task: Task) -> Tensor:
        return self._tensor(task.unit_of_class)

    def _tensor(self, array: object) -> Tensor:
        return torch.as_tensor(array, device=self._device)


def _units(units: object, classes: int, device: torch.device) -> Tensor:
    mask = torch.zeros(classes, dtype=torch.bool, device=device)
    mask[torch.as_tensor(list(units), dtype=torch.long, device=device)] = True  # type: ignore[call-overload]
    return mask


def normalisation(dataset: Dataset, device: torch.device) -> Normalise:
    """Return how the images of a dataset are normalised on a device."""

    def column(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)

    if not all(math.isfinite(v) and v > 0 for v in dataset.std):
        raise ValueError("std must be positive")
    return Normalise(column(dataset.mean), column(dataset.std))
