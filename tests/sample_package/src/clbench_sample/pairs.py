"""Two classes at a time, in the dataset's order; the scenario of the sample package."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from clbench import Plan, Scenario
from clbench.scenario import Labels, ScenarioOptions, disjoint_tasks, number_classes


class PairsOptions(ScenarioOptions):
    """Options."""

    first: int = Field(0, ge=0, description="class to begin with")


class Pairs(Scenario):
    """Disjoint pairs of classes, a single head."""

    Options = PairsOptions

    def plan(self, labels: Labels, options: Any, seed: int) -> Plan:
        """Deal pairs from the first class on."""
        stop = min(options.first + 2 * options.experiences, labels.classes - 1)
        shares = [[c, c + 1] for c in range(options.first, stop, 2)]
        return Plan(
            tasks=disjoint_tasks(labels, shares, number_classes(shares)),
            units=2 * len(shares),
            head="single",
            train_mask="seen",
            test_mask="seen",
            tells_task=False,
            shares_labels=False,
            class_order=tuple(c for share in shares for c in share),
        )
