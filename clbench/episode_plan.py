"""The contract of scenarios that are made of episodes: which classes are for training, stopping and test.

An N-way K-shot episode asks: given K labelled samples of each of N classes (support), what are these (query)? Its
classes are new ones, so that the split is one of classes. A plan looks at labels and class names, never at images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from clbench.errors import UsageError
from clbench.parameters import LATER, NaturalInt, Parameters, PositiveInt
from clbench.scenario import Indices, Labels

TRAINING = ("episodes", "curve", "curve_episodes", "keep")
"""Options that are of meta-training alone."""


class EpisodeOptions(Parameters):
    """Options that every scenario of episodes has."""

    ways: int = Field(5, ge=2, description="classes in a test episode (N)")
    shots: PositiveInt = Field(1, description="support samples of each class (K)")
    queries: PositiveInt = Field(10, description="query samples of each class")
    rotations: Literal["train", "all", "none"] = Field(
        "train",
        description="which classes are also shown rotated by 90, 180 and 270 degrees, each as a"
        " class of its own: those for training, test classes too, or none",
    )
    episodes: NaturalInt = Field(
        10_000, description="training episodes of a meta-learner; 0 for one that needs none"
    )
    test_episodes: PositiveInt = Field(1_000, description="drawn by the order seed")
    curve: PositiveInt = Field(20, description="points of a meta-learner's learning curve")
    curve_episodes: PositiveInt = Field(
        100, description="episodes of the validation classes that make a point of the curve"
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description="what of a meta-learner is tested: its state after all training episodes, or at"
        " the best point of its learning curve",
    )
    validation: bool = Field(
        False,
        description="test on episodes of the validation classes; the test classes stay untouched",
    )
    protocol: Literal["shots", "presentations"] = Field(
        "shots",
        description="what an episode is: a support set and a query set; or a sequence of samples,"
        " each to be named before its label is told (shots and queries do not count then)",
        json_schema_extra=LATER,
    )
    presentations: PositiveInt = Field(
        10,
        description="samples of each class in such a sequence",
        json_schema_extra=LATER,
    )
    size: PositiveInt | None = Field(
        None,
        description="images are resized to so many pixels a side; none leaves them",
        json_schema_extra=LATER,
    )

    @property
    def each(self) -> tuple[int, int]:
        """Samples of a class whose labels are told, and those that are only asked for."""
        if self.protocol == "presentations":
            return self.presentations, 0
        return self.shots, self.queries

    def untrained(self) -> Self:
        """Return the options of a run without meta-training: what would be said of it counts for nothing."""
        fields = type(self).model_fields
        usual = {name: fields[name].default for name in TRAINING}
        return self.model_copy(update=usual | {"episodes": 0})


@dataclass(frozen=True)
class EpisodePlan:
    """Classes by what they are for; no class is in two parts."""

    train: Indices
    validation: Indices
    """For the learning curve and for choosing; may be empty."""
    test: Indices
    held_out: bool = False
    """Whether validation classes stand in the place of the test classes."""

    @property
    def protocol(self) -> dict[str, Any]:
        """How episodes are told and evaluated, as a specification records it: one head, all ways compete."""
        return {
            "head": "single",
            "train_mask": "all",
            "test_mask": "all",
            "tells_task": False,
            "evaluated_on": "validation" if self.held_out else "test",
        }


class EpisodeScenario(ABC):
    """A pure function from labels, class names, options and a seed to an `EpisodePlan`."""

    Options: ClassVar[type[EpisodeOptions]] = EpisodeOptions
    version: ClassVar[int] = 1
    """Raise it whenever a change alters numbers; it is part of the run's hash."""

    @abstractmethod
    def plan(self, labels: Labels, options: Any, seed: int) -> EpisodePlan:
        """Return the classes of each part for the order seed ``seed``.

        Raises:
            UsageError: The options do not fit the dataset.
        """


def plan_episodes(
    scenario: EpisodeScenario, labels: Labels, options: EpisodeOptions, seed: int
) -> EpisodePlan:
    """Return the scenario's plan, once it is certain that every episode can be drawn.

    Raises:
        UsageError: There are fewer classes than ways, or a class has too few samples.
    """
    if options.protocol == "shots" and "presentations" in options.model_fields_set:
        raise UsageError("presentations needs protocol=presentations")
    plan = scenario.plan(labels, options, seed)
    _check_ways("test", plan.test, options)
    if options.validation or options.keep == "best" or len(plan.validation):
        _check_ways("validation", plan.validation, options)
    check_samples(labels, options)
    return replace(plan, test=plan.validation, held_out=True) if options.validation else plan


def _check_ways(part: str, classes: Indices, options: EpisodeOptions) -> None:
    if options.ways > len(classes):
        more = "; validation_classes sets how many" if part == "validation" else ""
        raise UsageError(
            f"ways={options.ways} is more than the {len(classes)} {part} classes of this split{more}"
        )


def check_samples(labels: Labels, options: EpisodeOptions) -> None:
    """Refuse episodes that need more samples of a class than there are.

    Raises:
        UsageError: Says how many there are.
    """
    both = np.concatenate([labels.train, labels.test])  # an episode takes its samples from either
    least = int(np.bincount(both, minlength=labels.classes).min())
    if sum(options.each) <= least:
        return
    names = ("presentations",) if options.protocol == "presentations" else ("shots", "queries")
    given = " and ".join(f"{name}={getattr(options, name)}" for name in names)
    verb = "needs" if len(names) == 1 else "need"
    raise UsageError(
        f"{given} {verb} {sum(options.each)} different samples of a class;"
        f" the dataset's smallest class has {least}"
    )


def in_order(classes: Iterable[int], order: Iterable[int]) -> list[int]:
    """Return those classes in the given order."""
    chosen = set(classes)
    return [label for label in order if label in chosen]
