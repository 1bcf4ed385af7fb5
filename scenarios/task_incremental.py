"""New classes in every experience; a head per task, chosen by the task id in training and at test.

Task-IL of van de Ven et al. 2022 (Nature Machine Intelligence 4): the heads are masks over one output layer.
"""

from __future__ import annotations

from typing import Any

from clbench.scenario import (
    DisjointOptions,
    Labels,
    Plan,
    Scenario,
    deal_classes,
    disjoint_tasks,
    number_classes,
)


class TaskIncremental(Scenario):
    """Disjoint classes, the task id is given."""

    Options = DisjointOptions

    def plan(self, labels: Labels, options: Any, seed: int) -> Plan:
        """Deal the classes; each has a unit of its own."""
        shares = deal_classes(options, labels.classes, seed)
        return Plan(
            tasks=disjoint_tasks(labels, shares, number_classes(shares)),
            units=sum(map(len, shares)),
            head="multi",
            train_mask="task",
            test_mask="task",
            tells_task=True,
            shares_labels=False,
            class_order=tuple(c for share in shares for c in share),
        )
