"""The experiences as the dataset has them: a benchmark of Avalanche, say.

For data that come as a stream, as ``avalanche:SplitMNIST`` does: every experience has the samples that the data give
it, in a seeded order. Where all experiences have the same classes the stream is domain-incremental, else
class-incremental with a head over the classes seen; ``task_id=true`` makes it task-incremental.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from clbench.errors import UsageError
from clbench.scenario import Labels, Plan, Scenario, ScenarioOptions, Task


class GivenOptions(ScenarioOptions):
    """Options of given experiences."""

    class_order: Literal["given"] = Field(  # type: ignore[assignment]
        "given", description="as the data have it"
    )
    task_id: bool = Field(
        False, description="tell the task id, in training and at test; needs disjoint classes"
    )


class Given(Scenario):
    """Experiences that come with the data."""

    Options = GivenOptions

    def plan(self, labels: Labels, options: Any, seed: int) -> Plan:
        """Take every experience as it is; output unit c is class c."""
        tasks = _tasks(labels, options)
        parts = [set(task.units) for task in tasks]
        shared = all(part == parts[0] for part in parts)
        if options.task_id and sum(map(len, parts)) > len(set().union(*parts)):
            raise UsageError("task_id=true needs experiences without a class in common")
        competing: Literal["task", "all", "seen"] = "all" if shared else "seen"
        if options.task_id:
            competing = "task"
        return Plan(
            tasks=tasks,
            units=labels.classes,
            head="multi" if options.task_id else "single",
            train_mask=competing,
            test_mask=competing,
            tells_task=options.task_id,
            shares_labels=shared and not options.task_id,
            class_order=tuple(dict.fromkeys(u for task in tasks for u in task.units)),
        )


def _tasks(labels: Labels, options: GivenOptions) -> tuple[Task, ...]:
    train, test = labels.experience_train, labels.experience_test
    if train is None or test is None:
        raise UsageError("needs data that come as a stream, as --dataset avalanche:SplitMNIST does")
    count = int(train.max()) + 1
    if "experiences" in options.model_fields_set and options.experiences != count:
        raise UsageError(f"experiences={options.experiences}, but the data have {count}")
    tasks = []
    for index in range(count):
        own = np.flatnonzero(train == index)
        classes = np.unique(labels.train[own])
        unit_of_class = np.full(labels.classes, -1, dtype=np.int64)
        unit_of_class[classes] = classes
        tested = (test == index) | ((test < 0) & np.isin(labels.test, classes))
        tested &= np.isin(labels.test, classes)
        if not tested.any():
            raise UsageError(f"the data have no test sample for experience {index}")
        tasks.append(Task(own, np.flatnonzero(tested), unit_of_class))
    return tuple(tasks)
