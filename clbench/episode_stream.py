"""A plan of episodes with its images: what a meta-learner trains on, and what the evaluator asks.

Training episodes are drawn on the device by the train seed. Validation and test episodes are chosen on the CPU by the
order seed, so that at one seed every strategy on every device is asked the same questions. What draws training
episodes holds images of training classes only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clbench.dataset import Dataset
from clbench.episode_plan import EpisodeOptions, EpisodePlan
from clbench.episode_sampler import EpisodeBatch, Sampler, Shape, quarter_turns
from clbench.errors import UsageError
from clbench.experience import StreamInfo
from clbench.precision import Precision
from clbench.residence import fits
from clbench.scenario import Indices
from clbench.seeds import Seeds, torch_generator
from clbench.stream import normalisation

CHUNK = 32
"""Validation and test episodes asked at once. Another number would draw other episodes."""


class TrainingEpisodes:
    """What a meta-learner trains on: a set number of episodes, in batches and shapes of its choice."""

    def __init__(
        self, sampler: Sampler, shape: Shape, info: StreamInfo, length: int, seed: int
    ) -> None:
        self.length = length
        """How many episodes there are."""
        self.drawn = 0
        """How many of them were drawn so far."""
        self.between: Callable[[], None] = lambda: None
        """Called between two batches, when the strategy has learnt from the first."""
        self._sampler, self._shape, self._info = sampler, shape, info
        self._generator = torch_generator(seed, "train_episodes", info.device)

    def batches(
        self,
        size: int,
        ways: int | None = None,
        shots: int | None = None,
        queries: int | None = None,
    ) -> Iterator[EpisodeBatch]:
        """Yield batches of ``size`` episodes, the last of those that are left, until all were drawn.

        A resumed run gets those that are left, so take the progress from ``drawn``, never from a count of batches.

        Args:
            size: Episodes in a batch.
            ways: Classes in an episode; like the following, if None, the hyper-parameter ``meta_ways`` or, where
                there is none, as at test.
            shots: Support samples of each class.
            queries: Query samples of each class.

        Raises:
            UsageError: There are too few training classes, or samples of a class, for such episodes.
        """
        shape = self._shape.changed(ways=ways, shots=shots, queries=queries)
        while self.drawn < self.length:
            count = min(size, self.length - self.drawn)
            batch = self._sampler.draw(count, shape, self._info, self._generator)
            self.drawn += count
            yield batch
            self.between()

    def state_dict(self) -> dict[str, Any]:
        """Return how far it is."""
        return {"drawn": self.drawn, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.drawn = state["drawn"]
        self._generator.set_state(state["generator"])


class EpisodeStream:
    """A plan of episodes with its images."""

    def __init__(
        self,
        dataset: Dataset,
        plan: EpisodePlan,
        options: EpisodeOptions,
        *,
        scenario: str,
        seeds: Seeds,
        device: torch.device,
        precision: Precision = "float32",
    ) -> None:
        if options.size is not None:
            dataset = dataset.resized(options.size)
        _, height, width = dataset.shape
        if options.rotations != "none" and height != width:
            raise UsageError(
                f"rotations={options.rotations} needs square images, not {height}×{width};"
                " none is allowed"
            )
        self.plan, self.options = plan, options
        self._data, self._device, self._seeds = dataset, device, seeds
        self._home = device if fits(dataset, device) else torch.device("cpu")
        told, asked = options.each
        self.shape = Shape(options.ways, told, asked)
        """Of validation and test episodes."""
        self.info = StreamInfo(
            scenario=scenario,
            classes=options.ways,
            shape=dataset.shape,
            dtype=dataset.x_train.dtype,
            experiences=1,
            tells_task=False,
            shares_labels=False,
            boundaries=True,
            online=False,
            batch_size=options.ways * told,
            normalise=normalisation(dataset, device),
            seeds=seeds,
            device=device,
            shots=told,
            in_sequence=options.protocol == "presentations",
            precision=precision,
        )

    def training(self, **shape: int | None) -> TrainingEpisodes:
        """Return all training episodes, none of them drawn; their shape is as at test where it is not given."""
        sampler = self._sampler(self.plan.train, self.views(training=True), self._device)
        length, seed = self.options.episodes, self._seeds.train
        return TrainingEpisodes(sampler, self.shape.changed(**shape), self.info, length, seed)

    def check_training(self, **shape: int | None) -> None:
        """Refuse a shape of training episodes, before anything is drawn.

        Raises:
            UsageError: There are too few training classes, or samples of one.
        """
        views = self.views(training=True)
        classes = self.plan.train
        y = torch.cat([self._data.y_train, self._data.y_test]).bincount(
            minlength=len(self._data.classes)
        )
        least = int(y[torch.from_numpy(classes)].min()) if len(classes) else 0
        each = 1 if views is None else len(views)
        self.shape.changed(**shape).check(len(classes) * each, least)

    # What follows is for the evaluator alone.

    def curve_episodes(self) -> Iterator[EpisodeBatch]:
        """Yield the episodes that make a point of the learning curve, always the same ones."""
        if len(self.plan.validation):
            yield from self._fixed(
                self._validation, self.options.curve_episodes, "validation_episodes"
            )

    def test_episodes(self) -> Iterator[EpisodeBatch]:
        """Yield the test episodes."""
        sampler = self._held_out(self.plan.test)
        yield from self._fixed(sampler, self.options.test_episodes, "test_episodes")

    def _fixed(self, sampler: Sampler, count: int, purpose: str) -> Iterator[EpisodeBatch]:
        generator = torch_generator(self._seeds.order, purpose)
        for start in range(0, count, CHUNK):
            yield sampler.draw(min(CHUNK, count - start), self.shape, self.info, generator)

    @cached_property
    def _validation(self) -> Sampler:
        return self._held_out(self.plan.validation)

    def views(self, *, training: bool) -> Tensor | None:
        """Return the orders of pixels [V, h·w] in which a class is one of its own; None is the one they have."""
        turned = ("train", "all") if training else ("all",)
        return quarter_turns(self.info.shape[1]) if self.options.rotations in turned else None

    def _held_out(self, classes: Indices) -> Sampler:
        return self._sampler(classes, self.views(training=False), torch.device("cpu"))

    def _sampler(self, classes: Indices, views: Tensor | None, device: torch.device) -> Sampler:
        """Return what draws episodes of these classes, with a copy of their images of both splits."""
        place = np.full(len(self._data.classes), -1)
        place[classes] = np.arange(len(classes))
        xs, labels = [], []
        for x, y in (
            (self._data.x_train, self._data.y_train),
            (self._data.x_test, self._data.y_test),
        ):
            label = place[y.numpy()]
            xs.append(x[torch.from_numpy(label >= 0)])
            labels.append(label[label >= 0])
        x = torch.cat(xs).to(self._home)
        return Sampler(x, np.concatenate(labels), views, device, self._device)
