"""The scenario contract: from labels, options and a seed to which sample belongs to which experience."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from clbench.blame import defined_at
from clbench.errors import UsageError
from clbench.parameters import LATER, Fraction, NaturalInt, Parameters, PositiveInt
from clbench.seeds import numpy_generator
from clbench.shifts import Shift

Indices = NDArray[np.int64]
MaskName = Literal["seen", "all", "task"]


class ScenarioOptions(Parameters):
    """Options that every stream has."""

    experiences: PositiveInt = Field(5, description="number of experiences (tasks)")
    class_order: Literal["shuffled", "natural"] | list[int] = Field(
        "shuffled",
        description="order in which classes are dealt to experiences: by the order seed,"
        " as in the dataset, or a list",
    )
    samples: PositiveInt | None = Field(
        None, description="training samples per experience, drawn by the order seed; none is all"
    )
    validation: Fraction = Field(
        0.0,
        description="share of each experience's training data held out, class-stratified;"
        " the matrix is then filled from it and the test data stay untouched",
    )
    online: bool = Field(False, description="one pass over the data in small batches")
    batch_size: PositiveInt = Field(10, description="batch size of an online stream")
    boundaries: bool = Field(
        True, description="announce where an experience begins; false needs online=true"
    )


class DisjointOptions(ScenarioOptions):
    """Options of a stream whose experiences have disjoint classes."""

    sizes: Annotated[list[PositiveInt], Field(min_length=1)] | None = Field(
        None, description="classes per experience, as [4, 2, 2, 2]; none deals them evenly"
    )
    base_classes: NaturalInt = Field(
        0,
        description="base split: so many classes, the first of the class order, are learnt before the"
        " stream, which has the others; they are in no cell",
        json_schema_extra=LATER,
    )
    classes: PositiveInt | None = Field(
        None,
        description="so many classes of the dataset, the first of the class order (behind a base"
        " split's); none takes all",
        json_schema_extra=LATER,
    )


@dataclass(frozen=True)
class Labels:
    """What a scenario may look at: labels and class names, never images."""

    train: Indices
    """[N] class of each training sample, 0…K−1."""
    test: Indices
    classes: int
    """K, the number of classes of the dataset."""
    names: tuple[str, ...] = ()
    """[K] of the classes."""
    experience_train: Indices | None = None
    """[N] experience of each training sample, where the data come as a stream."""
    experience_test: Indices | None = None
    """[N] the same; −1 belongs to every experience with its class."""


@dataclass(frozen=True)
class Task:
    """One experience of a plan."""

    train: Indices
    """Positions in the training split."""
    test: Indices
    """Positions in the test split (or in the training split if `Plan.held_out`)."""
    unit_of_class: Indices
    """[K] output unit of each class; −1 for a class that is not in this experience."""
    shift: Shift = field(default_factory=Shift)
    """What happens to the images."""

    @cached_property  # masks ask every experience so far for it, again and again
    def units(self) -> tuple[int, ...]:
        """Output units of this experience, sorted."""
        return tuple(np.unique(self.unit_of_class[self.unit_of_class >= 0]).tolist())


@dataclass(frozen=True)
class Plan:
    """A whole stream, without any image in it."""

    tasks: tuple[Task, ...]
    units: int
    """C, the width of the output layer."""
    head: Literal["single", "multi"]
    train_mask: MaskName
    test_mask: MaskName
    tells_task: bool
    """Whether the task id is given, in training and at test."""
    shares_labels: bool
    """Whether every experience has the same labels (domain-incremental)."""
    class_order: tuple[int, ...]
    """Of the stream's classes."""
    held_out: bool = False
    """Whether the test positions point into the training split (validation)."""
    base: Task | None = None
    """The base split, if there is one: classes of no experience, units of its own, no test positions."""

    @property
    def protocol(self) -> dict[str, Any]:
        """How the stream is told and evaluated, as a specification records it."""
        return {
            "head": self.head,
            "train_mask": self.train_mask,
            "test_mask": self.test_mask,
            "tells_task": self.tells_task,
            "evaluated_on": "validation" if self.held_out else "test",
        }


class Scenario(ABC):
    """A pure function from labels, options and a seed to a `Plan`.

    A subclass sets `Options` and defines `plan`. It looks at no image and keeps no state.
    """

    Options: ClassVar[type[ScenarioOptions]] = ScenarioOptions
    version: ClassVar[int] = 1
    """Raise it whenever a change alters numbers; it is part of the run's hash."""

    @abstractmethod
    def plan(self, labels: Labels, options: Any, seed: int) -> Plan:
        """Return the stream for the order seed ``seed``.

        Raises:
            UsageError: The options do not fit the dataset (more experiences than classes).
        """


def plan_stream(scenario: Scenario, labels: Labels, options: ScenarioOptions, seed: int) -> Plan:
    """Return the scenario's plan with samples drawn, validation held out and orders shuffled."""
    if not options.boundaries and not options.online:
        raise UsageError("boundaries=false needs online=true")
    plan = scenario.plan(labels, options, seed)
    if not isinstance(plan, Plan):
        raise UsageError(
            f"plan must return a clbench.Plan, not {type(plan).__name__}"
            f"{defined_at(type(scenario).plan)}"
        )
    if isinstance(options, DisjointOptions) and options.base_classes:
        plan = _with_base(plan, labels, options, seed)
    if not options.boundaries and plan.tells_task:
        raise UsageError("boundaries=false cannot hide boundaries where the task id is given")
    if options.validation:
        plan = _hold_out(plan, labels, options.validation, seed)
    tasks = tuple(
        replace(task, train=_draw(task.train, options.samples, numpy_generator(seed, "samples", i)))
        for i, task in enumerate(plan.tasks)
    )
    return replace(plan, tasks=tasks)


def _draw(positions: Indices, samples: int | None, generator: np.random.Generator) -> Indices:
    """Return the positions in a seeded order, at most ``samples`` of them."""
    return generator.permutation(positions)[:samples]


def _hold_out(plan: Plan, labels: Labels, fraction: float, seed: int) -> Plan:
    """Move a class-stratified share of the training data into the place of the test data."""
    order = numpy_generator(seed, "validation").permutation(len(labels.train))
    held = np.zeros(len(labels.train), dtype=bool)
    for label in range(labels.classes):
        members = order[labels.train[order] == label]
        count = max(1, round(fraction * len(members)))
        if count >= len(members):
            raise UsageError(
                f"validation={fraction} leaves class {label} without samples to train on:"
                f" it has {len(members)}"
            )
        held[members[:count]] = True
    tasks = tuple(
        replace(task, train=task.train[~held[task.train]], test=task.train[held[task.train]])
        for task in plan.tasks
    )
    for index, task in enumerate(tasks):
        if not len(task.train) or not len(task.test):
            raise UsageError(f"validation={fraction} leaves experience {index} without samples")
    base = plan.base and replace(plan.base, train=plan.base.train[~held[plan.base.train]])
    return replace(plan, tasks=tasks, held_out=True, base=base)


def _with_base(plan: Plan, labels: Labels, options: DisjointOptions, seed: int) -> Plan:
    """Add the base split: all training samples of its classes, in an order drawn by the order seed."""
    base, _ = split_classes(options, labels.classes, seed)
    if any((task.unit_of_class[base] >= 0).any() for task in plan.tasks):
        raise UsageError("base_classes must be 0: this scenario has every class in its stream")
    (task,) = disjoint_tasks(labels, [base], number_classes([base]))
    train = numpy_generator(seed, "base").permutation(task.train)
    return replace(plan, base=replace(task, train=train, test=task.test[:0]))


def order_classes(options: ScenarioOptions, classes: int, seed: int) -> list[int]:
    """Return the order in which classes are dealt.

    Raises:
        UsageError: ``class_order`` is a list that does not name every class once.
    """
    if options.class_order == "natural":
        return list(range(classes))
    if options.class_order == "shuffled":
        return [int(c) for c in numpy_generator(seed, "class_order").permutation(classes)]
    if sorted(options.class_order) != list(range(classes)):
        raise UsageError(f"class_order must name each of the classes 0…{classes - 1} once")
    return list(options.class_order)


def split_classes(options: DisjointOptions, classes: int, seed: int) -> tuple[list[int], list[int]]:
    """Return the base classes and those of the stream, each in class order.

    Raises:
        UsageError: ``base_classes`` is 1, or leaves no class for the stream; ``classes`` is more than there are.
    """
    order, base = order_classes(options, classes, seed), options.base_classes
    if base and not 2 <= base < classes:
        raise UsageError(
            f"base_classes={base} must be at least 2, to have something to tell apart, and leave a"
            f" class for the stream: the dataset has {classes}"
        )
    left = order[base:]
    if options.classes is not None and options.classes > len(left):
        source = "the dataset" + (f" without its {base} base classes" if base else "")
        raise UsageError(
            f"classes={options.classes} is more than the {len(left)} classes of {source}"
        )
    return order[:base], left[: options.classes]


def deal_classes(options: DisjointOptions, classes: int, seed: int) -> list[list[int]]:
    """Return the classes of each experience; uneven shares go to the first experiences.

    Raises:
        UsageError: There are more experiences than classes, or ``sizes`` does not add up.
    """
    base, order = split_classes(options, classes, seed)
    classes = len(order)
    source = "the dataset" + (f" without its {len(base)} base classes" if base else "")
    source, why = ("the stream", f" (classes={classes})") if options.classes else (source, "")
    given = options.model_fields_set
    experiences = options.experiences
    if options.sizes is not None:
        if "experiences" in given and experiences != len(options.sizes):
            raise UsageError(
                f"experiences={experiences} contradicts sizes={options.sizes},"
                f" which has {len(options.sizes)} entries; give one of them"
            )
        if sum(options.sizes) != classes:
            raise UsageError(
                f"sizes={options.sizes} adds up to {sum(options.sizes)};"
                f" {source} has {classes} classes{why}"
            )
        sizes = list(options.sizes)
    elif experiences > classes:
        raise UsageError(
            f"experiences={experiences} is more than the {classes} classes of {source}{why};"
            f" at most {classes} are possible"
        )
    else:
        sizes = [len(share) for share in np.array_split(np.arange(classes), experiences)]
    stops = np.cumsum([0, *sizes])
    return [order[a:b] for a, b in pairwise(stops)]


def number_classes(shares: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return an output unit for each class of each share: unit c is the c-th of them in the dataset."""
    unit = {label: c for c, label in enumerate(sorted(c for share in shares for c in share))}
    return [[unit[label] for label in share] for share in shares]


def disjoint_tasks(
    labels: Labels, shares: Sequence[Sequence[int]], units: Sequence[Sequence[int]]
) -> tuple[Task, ...]:
    """Return a task per share of classes; ``units[t][i]`` is the output unit of ``shares[t][i]``."""
    tasks = []
    for share, share_units in zip(shares, units, strict=True):
        unit_of_class = np.full(labels.classes, -1, dtype=np.int64)
        unit_of_class[list(share)] = list(share_units)
        train = np.flatnonzero(np.isin(labels.train, share))
        test = np.flatnonzero(np.isin(labels.test, share))
        tasks.append(Task(train=train, test=test, unit_of_class=unit_of_class))
    return tuple(tasks)
