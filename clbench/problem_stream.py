"""Two problems of episodes, one after the other: new classes of one dataset, then pixel-permuted images of another.

Munkhdalai & Yu 2017 (ICML), section 4.2.3. In the second problem a class is a class of the second dataset under one of
several pixel permutations. Training draws its training images, test episodes its test images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from clbench.dataset import Dataset
from clbench.episode_plan import EpisodeOptions, EpisodePlan, check_samples
from clbench.episode_stream import EpisodeStream
from clbench.errors import UsageError
from clbench.parameters import Parameters, PositiveInt
from clbench.precision import Precision
from clbench.scenario import Labels
from clbench.seeds import Seeds, of_second_problem
from clbench.shifts import Permutation


class ProblemOptions(Parameters):
    """The second problem."""

    then: str = Field(
        "mnist", description="dataset of the second problem, with images as large as the first's"
    )
    permutations: PositiveInt = Field(
        50,
        description="of the second problem's pixels, drawn by the order seed; classes times as many",
    )
    then_episodes: PositiveInt = Field(7_600, description="training episodes of the second problem")
    then_test_episodes: PositiveInt = Field(100, description="its test episodes, of test images")
    probe_every: PositiveInt = Field(
        400, description="training episodes of the second problem between two tests on both"
    )


@dataclass(frozen=True)
class ProblemPlan(EpisodePlan):
    """The first problem's classes, and what a specification must say of the second."""

    then_hash: str = ""
    """Of the second dataset."""

    @property
    def protocol(self) -> dict[str, Any]:
        """As of the first problem, and the hash of the second dataset."""
        return super().protocol | {"then_hash": self.then_hash}


class ProblemStream(EpisodeStream):
    """The first problem, and in ``second`` the other.

    Raises:
        UsageError: The datasets do not fit together, or the second cannot give such episodes.
    """

    def __init__(
        self,
        dataset: Dataset,
        second: Dataset,
        plan: EpisodePlan,
        options: Any,
        *,
        scenario: str,
        seeds: Seeds,
        device: torch.device,
        precision: Precision = "float32",
    ) -> None:
        if second.shape != dataset.shape:
            raise UsageError(
                f"then={options.then} has images of shape {second.shape}, the first problem's have"
                f" {dataset.shape}; they must agree"
            )
        if plan.held_out:
            raise UsageError("validation=true is for the scenario episodic; here it must be false")
        said: dict[str, Any] = {"scenario": scenario, "device": device, "precision": precision}
        super().__init__(dataset, plan, options, seeds=seeds, **said)
        classes = plan.train, plan.validation, plan.test
        self.plan = ProblemPlan(*classes, then_hash=second.hash)
        self.probe_every: int = options.probe_every
        """Training episodes of the second problem between two tests on both."""
        self.info = replace(self.info, experiences=2)
        self.second = _Permuted(second, options, seeds=of_second_problem(seeds), **said)


class _Permuted(EpisodeStream):
    """The second problem."""

    def __init__(self, dataset: Dataset, options: Any, **said: Any) -> None:
        count = len(dataset.classes)
        # A class's test images are a class of their own here: training sees none of them.
        data = replace(
            dataset, y_test=dataset.y_test + count, classes=(*dataset.classes, *dataset.classes)
        )
        own = {"rotations": "none", "keep": "last", "validation": False}
        own |= {"episodes": options.then_episodes, "test_episodes": options.then_test_episodes}
        chosen: EpisodeOptions = options.model_copy(update=own)
        check_samples(Labels(data.y_train.numpy(), data.y_test.numpy(), 2 * count), chosen)
        if chosen.ways > count * options.permutations:
            raise UsageError(
                f"ways={chosen.ways} is more than the {count * options.permutations} classes of the"
                " second problem"
            )
        train, nothing = np.arange(count), np.arange(0)
        super().__init__(data, EpisodePlan(train, nothing, train + count), chosen, **said)
        self.info = replace(self.info, experiences=2, problem=1)
        pixels = torch.arange(dataset.shape[1] * dataset.shape[2])
        image = pixels.view(1, 1, *dataset.shape[1:])
        seed = said["seeds"].order
        orders = [Permutation(seed, i).apply(image).flatten() for i in range(options.permutations)]
        self._orders = torch.stack(orders)

    def views(self, *, training: bool) -> Tensor:
        """Return the permutations [V, h·w]."""
        return self._orders
