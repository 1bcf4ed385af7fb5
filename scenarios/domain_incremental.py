"""The same labels in every experience, other inputs; one head, no task id at test.

Domain-IL of van de Ven et al. 2022 (Nature Machine Intelligence 4). ``shift=split`` deals the classes and labels each
by its position within its experience (Hsu et al. 2018: digit mod 2); ``permuted`` reorders the pixels by a seeded
permutation, the first experience keeping the original images; ``rotated`` turns experience t by an angle drawn from
[180t/T, 180(t+1)/T) degrees (Riemer et al. 2019 with T = 20) or as ``angles`` says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from clbench.errors import UsageError
from clbench.scenario import (
    DisjointOptions,
    Labels,
    Plan,
    Scenario,
    deal_classes,
    disjoint_tasks,
    number_classes,
    split_classes,
)
from clbench.seeds import numpy_generator
from clbench.shifts import Permutation, Rotation, Shift


class DomainIncrementalOptions(DisjointOptions):
    """Options of the domain-incremental scenario."""

    shift: Literal["split", "permuted", "rotated"] = Field(
        "split", description="what sets the experiences apart"
    )
    angles: Annotated[list[float], Field(min_length=1)] | None = Field(
        None, description="degrees of each experience under shift=rotated; none draws them"
    )


class DomainIncremental(Scenario):
    """Shared labels, a single head."""

    Options = DomainIncrementalOptions

    def plan(self, labels: Labels, options: Any, seed: int) -> Plan:
        """Split the classes, or show all of them in every experience under another shift."""
        if options.angles is not None and options.shift != "rotated":
            raise UsageError("angles needs shift=rotated")
        if options.shift == "split":
            shares = deal_classes(options, labels.classes, seed)
            units = [list(range(len(share))) for share in shares]
            tasks = disjoint_tasks(labels, shares, units)
            order = [c for share in shares for c in share]
        else:
            if options.sizes is not None:
                raise UsageError(f"sizes needs shift=split, not shift={options.shift}")
            _, order = split_classes(options, labels.classes, seed)
            (whole,) = disjoint_tasks(labels, [order], number_classes([order]))
            tasks = tuple(replace(whole, shift=shift) for shift in _shifts(options, seed))
        return Plan(
            tasks=tasks,
            units=max(len(task.units) for task in tasks),
            head="single",
            train_mask="all",
            test_mask="all",
            tells_task=False,
            shares_labels=True,
            class_order=tuple(order),
        )


def _shifts(options: DomainIncrementalOptions, seed: int) -> list[Shift]:
    count = options.experiences
    if options.shift == "permuted":
        return [Shift(), *(Permutation(seed, t) for t in range(1, count))]
    if options.angles is None:
        drawn = numpy_generator(seed, "change").random(count)
        return [Rotation(180 * (t + float(u)) / count) for t, u in enumerate(drawn)]
    if "experiences" in options.model_fields_set and count != len(options.angles):
        raise UsageError(f"angles has {len(options.angles)} entries, experiences is {count}")
    return [Rotation(angle) for angle in options.angles]
