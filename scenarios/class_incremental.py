"""New classes in every experience; one head, no task id at test.

Class-IL of van de Ven et al. 2022 (Nature Machine Intelligence 4): output unit c is the c-th class of the dataset
(of those of its classes that are in the stream).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from clbench.scenario import (
    DisjointOptions,
    Labels,
    Plan,
    Scenario,
    deal_classes,
    disjoint_tasks,
    number_classes,
)


class ClassIncrementalOptions(DisjointOptions):
    """Options of the class-incremental scenario."""

    head: Literal["seen", "all"] = Field(
        "seen", description="classes that compete: those seen so far, or all from the start"
    )
    train_mask: Literal["seen", "all"] | None = Field(
        None, description="the same for training losses alone; none follows head"
    )
    test_mask: Literal["seen", "all"] | None = Field(
        None, description="the same for the test argmax alone; none follows head"
    )


class ClassIncremental(Scenario):
    """Disjoint classes, a single head over all of them."""

    Options = ClassIncrementalOptions

    def plan(self, labels: Labels, options: Any, seed: int) -> Plan:
        """Deal the classes; each has a unit of its own."""
        shares = deal_classes(options, labels.classes, seed)
        return Plan(
            tasks=disjoint_tasks(labels, shares, number_classes(shares)),
            units=sum(map(len, shares)),
            head="single",
            train_mask=options.train_mask or options.head,
            test_mask=options.test_mask or options.head,
            tells_task=False,
            shares_labels=False,
            class_order=tuple(c for share in shares for c in share),
        )
